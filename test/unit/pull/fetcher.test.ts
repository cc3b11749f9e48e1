import { describe, expect, test } from 'vitest';
import { Blob, type Interest } from '../../../src/pull/blob.ts';
import { Fetcher } from '../../../src/pull/fetcher.ts';
import { PieceLayout } from '../../../src/pull/layout.ts';
import { unobserved } from '../../../src/pull/observer.ts';
import type { OriginRequest } from '../../../src/pull/origin-fetch.ts';
import { createSource } from '../../../src/pull/source.ts';
import type { PieceStore, PinnedPiece } from '../../../src/store/types.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const piece = 256 * KiB;
const never = new AbortController().signal;

/** One request of the fetcher's, and how much of it has come. */
interface Request {
  readonly blob: string;
  /** MiB of the blob. */
  readonly from: number;
  readonly to: number;
  /** MiB that have come. */
  came: number;
  ended: boolean;
}

/** A fetcher with a registry that is as fast as it is let, and readers that the test moves. */
class Room {
  readonly requests: Request[] = [];
  readonly fetcher: Fetcher;
  readonly #stored = new Set<string>();
  readonly #source = createSource(
    { registry: 'reg.test', repository: 'app' },
    { kind: 'anonymous' },
    unobserved.direct,
  );
  readonly #readers = new Map<Blob, Interest>();
  readonly #readAheadBytes: number;
  /** False: each request brings a piece when the test calls `tick`. */
  fast = true;
  readonly #ticks: (() => void)[] = [];
  /** Milliseconds: a reader takes one for a piece, a registry that is not fast ten. */
  #now = 0;

  constructor({ parallels = 128, requestsPerRegistry = 4, readAheadBytes = 1024 * MiB, unranged = false } = {}) {
    this.#readAheadBytes = readAheadBytes;
    this.fetcher = new Fetcher({
      origin: { isUnranged: () => unranged, fetch: (request) => this.#fetch(request) },
      store: { readAheadBytes },
      parallels,
      requestsPerRegistry,
      now: () => this.#now,
    });
  }

  /** A blob of so many MiB with a reader, who has asked for the piece at MiB `from`. */
  read(digest: string, rank: number, size: number, from = 0): Blob {
    const blob = this.#add(digest, rank, size);
    const interest = { ...this.#interest(blob, true), from: (from * MiB) / piece };
    this.#readers.set(blob, interest);
    blob.addInterest(interest);
    this.#ask(blob);
    return blob;
  }

  /** A blob of so many MiB that nobody reads yet. */
  prefetch(digest: string, rank: number, size: number): Blob {
    const blob = this.#add(digest, rank, size);
    blob.addInterest(this.#interest(blob, false));
    return blob;
  }

  #add(digest: string, rank: number, size: number): Blob {
    const has: PieceStore['has'] = ({ index }) => this.#stored.has(`${digest} ${index}`);
    const bytes = Buffer.alloc(piece);
    const pinned: PinnedPiece = { bytes, crc32c: 0, tier: 'memory', release: () => undefined };
    const store = {
      has,
      get: async (key) => (has(key) ? pinned : undefined),
      isVerified: () => false,
      readAheadBytes: this.#readAheadBytes,
    } satisfies Partial<PieceStore> as unknown as PieceStore;
    const blob = new Blob({
      digest,
      layout: new PieceLayout(size * MiB, piece),
      store,
      native: {
        createSha256: () => {
          throw new Error('nobody reads the whole blob');
        },
      },
      onDemand: () => this.fetcher.poke(),
      onSpoiled: () => undefined,
    });
    blob.rank = rank;
    blob.sources.add(this.#source);
    this.fetcher.add(blob);
    return blob;
  }

  /** The reader takes what is there until it is at so many MiB, and asks for the next piece. */
  async advance(blob: Blob, to: number): Promise<void> {
    const interest = this.#readers.get(blob);
    if (interest === undefined) throw new Error('nobody reads it');
    while (interest.from < (to * MiB) / piece) {
      const pinned = await blob.piece(interest.from, never);
      this.#now += 1;
      blob.handOut(interest.from, pinned);
      blob.advance(interest, interest.from + 1);
      await quiet();
    }
    this.#ask(blob);
    await quiet();
  }

  /** A piece of each request that is not held back comes. */
  async tick(): Promise<void> {
    this.#now += 10;
    for (const goOn of this.#ticks.splice(0)) goOn();
    await quiet();
  }

  /** MiB of the blob that have come. */
  came(digest: string): number {
    return this.requests.filter(({ blob }) => blob === digest).reduce((sum, { came }) => sum + came, 0);
  }

  #ask(blob: Blob): void {
    const index = this.#readers.get(blob)?.from ?? 0;
    if (index < blob.layout.count) blob.piece(index, never).catch(() => undefined);
  }

  #interest(blob: Blob, reads: boolean): Interest {
    return { from: 0, to: blob.layout.count, aheadBytes: Number.POSITIVE_INFINITY, whole: false, reads };
  }

  async #fetch({ blob, run, source, signal, beforePiece }: OriginRequest): Promise<undefined> {
    const { start, end } = blob.layout.rangeOf(run.from, run.to);
    const request: Request = { blob: blob.digest, from: start / MiB, to: end / MiB, came: 0, ended: false };
    this.requests.push(request);
    blob.table.markFetching(run);
    let index = run.from;
    try {
      for (; index < run.to && !signal.aborted; index += 1) {
        await beforePiece?.(signal);
        if (!this.fast) await new Promise<void>((resolve) => this.#ticks.push(resolve));
        this.#stored.add(`${blob.digest} ${index}`);
        blob.arrived(index, source);
        request.came += blob.layout.lengthOf(index) / MiB;
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    request.ended = true;
    blob.failed({ from: index, to: run.to }, undefined);
    return undefined;
  }
}

/** Everything that follows from what was done has happened: no part of it waits for more than microtasks. */
const quiet = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a registry that is faster than its readers', () => {
  test('is held back when 8 MiB lie ready, and goes on when half of them are read', async () => {
    const room = new Room();
    const blob = room.read('a', 0, 16);
    await quiet();
    expect(room.requests).toMatchObject([{ from: 0, to: 16, came: 8 }]);
    await room.advance(blob, 3);
    expect(room.requests).toMatchObject([{ came: 8 }]);
    await room.advance(blob, 5);
    expect(room.requests).toMatchObject([{ came: 12.25, ended: false }]);
    await room.advance(blob, 16);
    expect(room.requests).toMatchObject([{ came: 16, ended: true }]);
  });

  test('brings what a reader waits for, however much lies ready for others', async () => {
    const room = new Room();
    room.read('first', 0, 16);
    const second = room.read('second', 1, 16);
    await quiet();
    expect(room.came('first')).toBe(8);
    // The first reader rests: the second goes on, a piece at a time.
    await room.advance(second, 4);
    expect(room.came('second')).toBeGreaterThanOrEqual(4);
    expect(room.came('second')).toBeLessThan(5);
  });

  test('brings a later layer only what room the earlier ones leave', async () => {
    const room = new Room();
    room.prefetch('later', 3, 64);
    await quiet();
    room.read('first', 0, 16);
    await quiet();
    expect(room.came('later')).toBeLessThanOrEqual(9);
    expect(room.came('first')).toBe(8);
  });

  test('is let run on while a reader waits for the place of a request that is held back', async () => {
    const room = new Room({ requestsPerRegistry: 1 });
    room.prefetch('later', 3, 16);
    await quiet();
    expect(room.requests).toMatchObject([{ blob: 'later', came: 8, ended: false }]);
    room.read('first', 0, 16);
    await quiet();
    expect(room.requests).toMatchObject([
      { blob: 'later', came: 16, ended: true },
      { blob: 'first', came: 8 },
    ]);
  });

  test('is not held back where there may be no further request, for a manifest', async () => {
    const room = new Room({ parallels: 1 });
    room.prefetch('later', 3, 16);
    await quiet();
    expect(room.requests).toMatchObject([{ came: 16, ended: true }]);
  });

  test('without ranges is let run on while a reader waits for what came before', async () => {
    const room = new Room({ unranged: true });
    const blob = room.read('a', 0, 64, 20);
    await quiet();
    expect(room.requests).toMatchObject([{ from: 20, came: 8, ended: false }]);
    const early = blob.piece(0, never);
    await quiet();
    expect(room.requests).toMatchObject([{ from: 20, came: 44, ended: true }, { from: 0 }]);
    expect((await early).bytes).toHaveLength(piece);
  });

  test('is held back earlier for a small store', async () => {
    const room = new Room({ readAheadBytes: 8 * MiB });
    room.read('a', 0, 16);
    await quiet();
    expect(room.requests).toMatchObject([{ came: 4 }]);
  });

  test('is asked for more at a time, up to 64 MiB', async () => {
    const room = new Room();
    for (const [digest, lengths] of [
      ['a', [16]],
      ['b', [32]],
      ['c', [64]],
      ['d', [64]],
    ] as const) {
      const blob = room.read(digest, 0, lengths[0]);
      await quiet();
      await room.advance(blob, lengths[0]);
      expect(room.requests.filter(({ blob }) => blob === digest).map(({ from, to }) => to - from)).toEqual(lengths);
      room.fetcher.remove(blob);
    }
  });

  test('is given up at once when nobody wants the blob any more', async () => {
    const room = new Room();
    const blob = room.read('a', 0, 16);
    await quiet();
    room.fetcher.remove(blob);
    await quiet();
    expect(room.requests).toMatchObject([{ came: 8, ended: true }]);
  });
});

describe('a registry that is slower than its readers', () => {
  test('brings all parts of a layer at once, however much lies ready beyond the one that is read', async () => {
    const room = new Room();
    room.fast = false;
    const blob = room.read('a', 0, 64);
    await quiet();
    let read = 0;
    while (room.requests[0]?.ended === false) {
      await room.tick();
      read = room.requests[0].came;
      await room.advance(blob, read);
    }
    expect(room.requests.slice(0, 2)).toMatchObject([
      { from: 0, to: 16, came: 16, ended: true },
      { from: 16, to: 32, came: 16, ended: true },
    ]);
  });

  test('is asked for no more at a time, though for moments nobody waits for it', async () => {
    const room = new Room();
    room.fast = false;
    const blob = room.read('a', 0, 128);
    await quiet();
    while (room.came('a') < 128) {
      await room.tick();
      let index = 0;
      while (index < blob.layout.count && !blob.table.isAbsent(index) && !blob.table.isFetching(index)) index += 1;
      await room.advance(blob, (index * piece) / MiB);
    }
    for (const { from, to } of room.requests) expect(to - from).toBeLessThanOrEqual(16);
  });

  test('is asked for 16 MiB at a time again', async () => {
    const room = new Room();
    const fast = room.read('a', 0, 16);
    await quiet();
    await room.advance(fast, 16);
    room.fetcher.remove(fast);
    room.fast = false;
    const slow = room.read('b', 0, 32);
    await quiet();
    expect(room.requests.at(-1)).toMatchObject({ blob: 'b', from: 0, to: 32 });
    while (room.came('b') < 32) {
      await room.tick();
      await room.advance(slow, room.came('b'));
    }
    room.fetcher.remove(slow);
    room.read('c', 0, 64);
    await quiet();
    expect(room.requests.filter(({ blob }) => blob === 'c')).toMatchObject([
      { from: 0, to: 16 },
      { from: 16, to: 32 },
    ]);
  });
});
