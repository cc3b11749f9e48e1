import { copyFileSync, mkdirSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Store } from '../../src/store/piece-store.ts';
import type { PinnedPiece } from '../../src/store/types.ts';
import { FakeNative, type Platters } from '../unit/store/fake-native.ts';

const KiB = 1024;
const blockSize = 64 * KiB;
const blobs = ['a', 'b', 'c', 'd'];
const piecesPerBlob = 3;
const mostPins = 2;
const log = pino({ level: 'silent' });

let root: string;

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  root = await mkdtemp(path.join(os.tmpdir(), 'shoal-model-'));
});

afterEach(async () => {
  vi.useRealTimers();
  await rm(root, { recursive: true });
});

/** What a version of a piece consists of: the version says how long it is, too. */
function content(id: string, version: number): Buffer {
  return Buffer.alloc(1 + ((version * 7919) % (2 * blockSize)), `${id} version ${version};`);
}

/**
 * The store beside a plain map. The map has, for each piece, the versions that a `get` may give: one as long as the process
 * lives; after a crash any that was ever put, because the end of what happened may be lost.
 */
class Model {
  readonly #sizes: { readonly disk: number; readonly memory: number };
  readonly #latest = new Map<string, number>();
  readonly #ever = new Map<string, Set<number>>();
  /** After a crash, until it is read or put again. */
  readonly #uncertain = new Set<string>();
  readonly #pins: { piece: PinnedPiece; bytes: Buffer }[] = [];
  readonly #former: Store[] = [];
  #incarnation = 0;
  #version = 0;
  #native = new FakeNative();
  #store: Store;
  /** Everything that was put must still be there. */
  readonly lossless: boolean;

  private constructor(lossless: boolean) {
    this.lossless = lossless;
    this.#sizes = lossless ? { disk: 128, memory: 64 } : { disk: 12, memory: 8 };
    this.#store = this.#newStore();
  }

  static async open(lossless: boolean): Promise<Model> {
    const model = new Model(lossless);
    await model.#store.start();
    return model;
  }

  get #directory(): string {
    return path.join(root, String(this.#incarnation));
  }

  #newStore(): Store {
    return new Store({
      arena: this.#native.createArena({ capacity: this.#sizes.memory * blockSize }),
      blockSize,
      now: () => 1000,
      disk: { directory: this.#directory, capacity: this.#sizes.disk * blockSize, aio: 0, native: this.#native, log },
    });
  }

  async put(digest: string, index: number): Promise<void> {
    const id = `${digest}/${index}`;
    const version = ++this.#version;
    const bytes = content(id, version);
    const writer = await this.#store.reserve({ digest, index }, bytes.length);
    bytes.copy(writer.buffer);
    const piece = writer.commit(this.#native.crc32c(bytes));
    expect(piece.bytes.equals(bytes)).toBe(true);
    piece.release();
    this.#latest.set(id, version);
    this.#ever.set(id, (this.#ever.get(id) ?? new Set()).add(version));
    this.#uncertain.delete(id);
  }

  async reserveAndAbort(digest: string, index: number): Promise<void> {
    const writer = await this.#store.reserve({ digest, index }, blockSize);
    writer.buffer.fill(0xee);
    writer.abort();
  }

  async get(digest: string, index: number, keep: boolean): Promise<void> {
    const id = `${digest}/${index}`;
    const promised = this.#store.has({ digest, index });
    const piece = await this.#store.get({ digest, index });
    if (!piece) {
      if (this.lossless) expect([promised, this.#latest.has(id)]).toEqual([false, false]);
      return;
    }
    expect(promised).toBe(true);
    const allowed = this.#uncertain.has(id) ? [...(this.#ever.get(id) ?? [])] : [this.#latest.get(id) ?? -1];
    const version = allowed.find((candidate) => piece.bytes.equals(content(id, candidate)));
    expect(version, `what ${id} holds is none of the versions ${allowed.join()}`).toBeDefined();
    if (version !== undefined) this.#latest.set(id, version);
    this.#uncertain.delete(id);
    if (keep && this.#pins.length < mostPins) this.#pins.push({ piece, bytes: Buffer.from(piece.bytes) });
    else piece.release();
  }

  drop(digest: string): void {
    this.#store.drop(digest);
    for (let index = 0; index < piecesPerBlob; index += 1) {
      expect(this.#store.has({ digest, index })).toBe(false);
      this.#latest.delete(`${digest}/${index}`);
      this.#uncertain.delete(`${digest}/${index}`);
    }
  }

  markVerified(digest: string): void {
    if (this.#hasAll(digest)) this.#store.markVerified(digest);
  }

  release(): void {
    for (const { piece, bytes } of this.#pins.splice(0)) {
      expect(piece.bytes.equals(bytes)).toBe(true);
      piece.release();
    }
  }

  /** Lets time pass: the index is flushed. */
  async tick(): Promise<void> {
    await vi.advanceTimersByTimeAsync(25);
  }

  async failWrites(): Promise<void> {
    if (!this.lossless) this.#native.faults.write = 'EIO';
  }

  async heal(): Promise<void> {
    this.#native.faults.write = '';
    while (this.#store.stat().disk?.degraded !== undefined) {
      await vi.advanceTimersByTimeAsync(60_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async reopen(): Promise<void> {
    this.release();
    await this.heal();
    await this.#store.close();
    this.#store = this.#newStore();
    await this.#store.start();
  }

  /** What a process that is killed now leaves behind, with the writes under way torn anywhere, is what the next one finds. */
  async crash(torn: number): Promise<void> {
    if (this.lossless) return this.reopen();
    const from = this.#directory;
    this.#incarnation += 1;
    mkdirSync(this.#directory);
    for (const name of readdirSync(from).filter((file) => !file.startsWith('lock'))) {
      copyFileSync(path.join(from, name), path.join(this.#directory, name));
    }
    const platters: Platters = new Map();
    for (const platter of this.#native.platters.values()) {
      const copy = Buffer.from(platter);
      for (const { bytes, offset } of this.#native.writing)
        bytes.copy(copy, offset, 0, Math.floor(bytes.length * torn));
      platters.set(path.join(this.#directory, 'pieces.slab'), copy);
    }
    this.release();
    this.#native.faults.write = '';
    this.#former.push(this.#store);
    this.#native = new FakeNative(platters);
    this.#store = this.#newStore();
    await this.#store.start();
    for (const id of this.#ever.keys()) this.#uncertain.add(id);
  }

  check(): void {
    const { memory, disk, pieces } = this.#store.stat();
    expect(memory.used).toBeLessThanOrEqual(memory.capacity);
    expect(memory.pinned + memory.dirty).toBeLessThanOrEqual(2 * memory.used);
    expect(disk?.used).toBeLessThanOrEqual(disk?.capacity ?? 0);
    let found = 0;
    for (const digest of blobs) {
      for (let index = 0; index < piecesPerBlob; index += 1) if (this.#store.has({ digest, index })) found += 1;
      if (disk?.degraded === undefined && this.#store.isVerified(digest)) expect(this.#hasAll(digest)).toBe(true);
    }
    if (disk?.degraded === undefined) expect(pieces).toBe(found);
  }

  async end(): Promise<void> {
    this.release();
    await this.heal();
    while (this.#store.stat().memory.dirty > 0) await new Promise((resolve) => setImmediate(resolve));
    expect(this.#store.stat().memory.pinned).toBe(0);
    for (const digest of blobs) this.drop(digest);
    expect(this.#store.stat()).toMatchObject({ pieces: 0, blobs: 0, memory: { used: 0 }, disk: { used: 0 } });
    for (const store of [...this.#former, this.#store]) await store.close();
  }

  #hasAll(digest: string): boolean {
    return Array.from({ length: piecesPerBlob }, (_, index) => index).every((index) =>
      this.#store.has({ digest, index }),
    );
  }
}

const digest = fc.constantFrom(...blobs);
const index = fc.nat(piecesPerBlob - 1);
const steps = fc.array(
  fc.oneof(
    {
      weight: 10,
      arbitrary: fc.tuple(digest, index).map(([d, i]) => ({ name: 'put', run: (m: Model) => m.put(d, i) })),
    },
    {
      weight: 8,
      arbitrary: fc
        .tuple(digest, index, fc.boolean())
        .map(([d, i, keep]) => ({ name: 'get', run: (m: Model) => m.get(d, i, keep) })),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(digest, index)
        .map(([d, i]) => ({ name: 'abort', run: (m: Model) => m.reserveAndAbort(d, i) })),
    },
    { weight: 1, arbitrary: digest.map((d) => ({ name: 'drop', run: async (m: Model) => m.drop(d) })) },
    { weight: 3, arbitrary: digest.map((d) => ({ name: 'markVerified', run: async (m: Model) => m.markVerified(d) })) },
    { weight: 2, arbitrary: fc.constant({ name: 'release', run: async (m: Model) => m.release() }) },
    { weight: 3, arbitrary: fc.constant({ name: 'tick', run: (m: Model) => m.tick() }) },
    { weight: 1, arbitrary: fc.constant({ name: 'failWrites', run: (m: Model) => m.failWrites() }) },
    { weight: 1, arbitrary: fc.constant({ name: 'heal', run: (m: Model) => m.heal() }) },
    { weight: 1, arbitrary: fc.constant({ name: 'reopen', run: (m: Model) => m.reopen() }) },
    {
      weight: 1,
      arbitrary: fc
        .double({ min: 0, max: 1, noNaN: true })
        .map((torn) => ({ name: 'crash', run: (m: Model) => m.crash(torn) })),
    },
  ),
  { minLength: 10, maxLength: 60 },
);

describe('the store, whatever is done to it', () => {
  it.each([
    ['loses nothing while everything fits and nothing fails', true],
    ['gives the right bytes or none under eviction, crashes and a failing disk, and its sums add up', false],
  ])('%s', { timeout: 120_000 }, async (_, lossless) => {
    await fc.assert(
      fc.asyncProperty(steps, async (list) => {
        const model = await Model.open(lossless);
        for (const { run } of list) {
          await run(model);
          model.check();
        }
        await model.end();
        await rm(root, { recursive: true });
        mkdirSync(root);
      }),
      { numRuns: 30 },
    );
  });
});
