import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Store } from '../../src/store/piece-store.ts';
import { FakeNative } from '../unit/store/fake-native.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const blockSize = 64 * KiB;

let directory: string;
const open: Store[] = [];

beforeEach(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'shoal-store-'));
});

afterEach(async () => {
  vi.useRealTimers();
  for (const store of open.splice(0)) await store.close();
  await rm(directory, { recursive: true });
});

interface Options {
  native?: FakeNative;
  capacity?: number;
  memory?: number;
  ttl?: number;
  now?: () => number;
  lines?: string[];
}

async function openStore(options: Options = {}): Promise<Store> {
  const { native = new FakeNative(), capacity = 16 * MiB, memory = MiB, lines = [], ttl } = options;
  const log = pino({ base: null, timestamp: false }, { write: (line: string) => void lines.push(line) });
  const store = new Store({
    arena: native.createArena({ capacity: memory }),
    blockSize,
    now: options.now ?? (() => Date.now() / 1000),
    ...(ttl === undefined ? {} : { ttl }),
    disk: { directory, capacity, aio: 0, native, log },
  });
  open.push(store);
  await store.start();
  return store;
}

function bytesOf(digest: string, index: number, length = blockSize): Buffer {
  return Buffer.alloc(length, `${digest}/${index}/`);
}

async function put(store: Store, digest: string, index: number, length = blockSize): Promise<void> {
  const writer = await store.reserve({ digest, index }, length);
  bytesOf(digest, index, length).copy(writer.buffer);
  writer.commit(new FakeNative().crc32c(writer.buffer)).release();
}

/** Whether the piece is there, with the right bytes. */
async function holds(store: Store, digest: string, index: number, length = blockSize): Promise<boolean> {
  const piece = await store.get({ digest, index });
  if (!piece) return false;
  expect(piece.bytes.equals(bytesOf(digest, index, length))).toBe(true);
  piece.release();
  return true;
}

async function written(store: Store): Promise<void> {
  await vi.waitFor(() => expect(store.stat().memory.dirty).toBe(0), { interval: 5, timeout: 5000 });
}

describe('disk tier', () => {
  it('keeps more than memory holds, and gives it back unchanged', async () => {
    const store = await openStore();
    for (let index = 0; index < 64; index += 1) await put(store, 'a', index, blockSize - index);
    for (let index = 0; index < 64; index += 1) {
      expect(await holds(store, 'a', index, blockSize - index)).toBe(true);
    }
    expect(store.stat()).toMatchObject({ pieces: 64, evictions: 0, corrupt: 0, misses: 0 });
    expect(store.stat().hits.disk).toBeGreaterThan(40);
  });

  it('has everything again after it was closed and opened', async () => {
    const native = new FakeNative();
    const first = await openStore({ native });
    for (let index = 0; index < 40; index += 1) await put(first, 'a', index);
    first.markVerified('a');
    await first.close();
    const second = await openStore({ native });
    expect(second.stat()).toMatchObject({ pieces: 40, blobs: 1 });
    expect(second.isVerified('a')).toBe(true);
    for (let index = 0; index < 40; index += 1) expect(await holds(second, 'a', index)).toBe(true);
  });

  it('reads a piece once for all who ask at the same time', async () => {
    const native = new FakeNative();
    const first = await openStore({ native });
    await put(first, 'a', 0);
    await first.close();
    const store = await openStore({ native });
    const found = await Promise.all(Array.from({ length: 20 }, () => store.get({ digest: 'a', index: 0 })));
    expect(native.reads).toBe(1);
    expect(store.stat().memory.pinned).toBe(blockSize);
    for (const piece of found) {
      expect(piece?.tier).toBe('disk');
      piece?.release();
    }
    expect(store.stat().memory.pinned).toBe(0);
    expect((await store.get({ digest: 'a', index: 0 }))?.tier).toBe('memory');
  });

  it('lets one who waits for a read give up without taking it from the others', async () => {
    const native = new FakeNative();
    const first = await openStore({ native });
    await put(first, 'a', 0);
    await first.close();
    const store = await openStore({ native });
    const controller = new AbortController();
    const impatient = store.get({ digest: 'a', index: 0 }, controller.signal);
    const patient = store.get({ digest: 'a', index: 0 });
    controller.abort(new Error('enough'));
    await expect(impatient).rejects.toThrow('enough');
    (await patient)?.release();
    expect(store.stat().memory.pinned).toBe(0);
  });

  it('drops a piece whose bytes have changed on the disk, and counts it', async () => {
    const native = new FakeNative();
    const first = await openStore({ native });
    await put(first, 'a', 0);
    await put(first, 'a', 1);
    first.markVerified('a');
    await first.close();
    const [platter] = native.platters.values();
    const at = platter?.indexOf('a/1/') ?? -1;
    platter?.writeUInt8(0, at + 1000);
    const store = await openStore({ native });
    expect(await store.get({ digest: 'a', index: 1 })).toBeUndefined();
    expect(store.has({ digest: 'a', index: 1 })).toBe(false);
    expect(await holds(store, 'a', 0)).toBe(true);
    expect(store.stat()).toMatchObject({ corrupt: 1, misses: 1, pieces: 1 });
    expect(store.isVerified('a')).toBe(false);
  });

  it('evicts the oldest when the disk is full, and goes on', async () => {
    const store = await openStore({ capacity: 2 * MiB });
    for (let index = 0; index < 100; index += 1) await put(store, 'a', index);
    await written(store);
    const { disk, evictions } = store.stat();
    expect(disk?.used).toBeLessThanOrEqual(disk?.capacity ?? 0);
    expect(evictions).toBeGreaterThanOrEqual(100 - 31 - 16);
    expect(await holds(store, 'a', 99)).toBe(true);
    expect(await holds(store, 'a', 0)).toBe(false);
  });

  it('forgets a dropped blob for good', async () => {
    const native = new FakeNative();
    const first = await openStore({ native });
    await put(first, 'a', 0);
    await put(first, 'b', 0);
    await written(first);
    first.drop('a');
    await first.close();
    const second = await openStore({ native });
    expect(await holds(second, 'a', 0)).toBe(false);
    expect(await holds(second, 'b', 0)).toBe(true);
  });

  it('holds writers back while too much is unwritten, and lets reads pass', async () => {
    const native = new FakeNative();
    const first = await openStore({ native });
    await put(first, 'old', 0);
    await first.close();
    const store = await openStore({ native, memory: MiB });
    const writers = [];
    for (let index = 0; index < 12; index += 1) writers.push(await store.reserve({ digest: 'a', index }, blockSize));
    let served = false;
    const waiting = store.reserve({ digest: 'a', index: 12 }, blockSize).then((writer) => {
      served = true;
      return writer;
    });
    expect(await holds(store, 'old', 0)).toBe(true);
    expect(served).toBe(false);
    writers.pop()?.abort();
    (await waiting).abort();
    for (const writer of writers) writer.abort();
  });

  it('rebuilds a slab of another size, and says so', async () => {
    const native = new FakeNative();
    const first = await openStore({ native });
    await put(first, 'a', 0);
    await first.close();
    native.platters.clear();
    const lines: string[] = [];
    const second = await openStore({ native, capacity: 8 * MiB, lines });
    expect(second.stat()).toMatchObject({ pieces: 0, disk: { capacity: 8 * MiB - blockSize } });
    expect(lines.join('')).toContain('capacity was 16777216 and is 8388608');
  });

  it.each(['pieces.slab', 'index.journal'])(
    'never overwrites a foreign %s, and works from memory beside it',
    async (name) => {
      const file = path.join(directory, name);
      await writeFile(file, 'somebody else needs this');
      const lines: string[] = [];
      const store = await openStore({ lines });
      expect(store.stat().disk?.degraded).toContain('was not written by Shoal');
      expect(lines.join('')).toContain(file);
      await put(store, 'a', 0);
      expect(await holds(store, 'a', 0)).toBe(true);
      expect(await readFile(file, 'utf8')).toBe('somebody else needs this');
    },
  );

  it('cuts the torn tail of an index', async () => {
    const native = new FakeNative();
    const first = await openStore({ native });
    for (let index = 0; index < 10; index += 1) await put(first, 'a', index);
    await first.close();
    const file = path.join(directory, 'index.journal');
    const bytes = await readFile(file);
    await writeFile(file, bytes.subarray(0, bytes.length - 3));
    const second = await openStore({ native });
    expect(second.stat().pieces).toBe(9);
  });

  it('refuses a directory that another store uses, and takes it when that one is closed', async () => {
    const first = await openStore();
    await expect(openStore()).rejects.toMatchObject({ kind: 'locked' });
    await first.close();
    await openStore();
  });

  it.each(['EIO', 'ENOSPC', 'EROFS'])(
    'goes on from memory when a write ends in %s, says so once, and comes back',
    async (code) => {
      vi.useFakeTimers({ toFake: ['setTimeout'] });
      const native = new FakeNative();
      const lines: string[] = [];
      const store = await openStore({ native, lines });
      native.faults.write = code;
      for (let index = 0; index < 4; index += 1) await put(store, 'a', index);
      await vi.waitUntil(() => store.stat().disk?.degraded);
      expect(store.stat()).toMatchObject({ memory: { dirty: 0 }, disk: { degraded: `${code}: injected` } });
      for (let index = 0; index < 4; index += 1) expect(await holds(store, 'a', index)).toBe(true);
      native.faults.open = code;
      await vi.advanceTimersByTimeAsync(60_000);
      expect(lines.filter((line) => line.includes('out of use'))).toHaveLength(1);
      native.faults.open = '';
      native.faults.write = '';
      await vi.advanceTimersByTimeAsync(60_000);
      await vi.waitUntil(() => store.stat().disk?.degraded === undefined);
      await vi.waitUntil(() => store.stat().memory.dirty === 0);
      await store.close();
      const reopened = await openStore({ native });
      for (let index = 0; index < 4; index += 1) expect(await holds(reopened, 'a', index)).toBe(true);
    },
  );

  it('treats a piece that cannot be read as absent, and is whole again afterwards', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    const native = new FakeNative();
    const first = await openStore({ native });
    await put(first, 'a', 0);
    await put(first, 'a', 1);
    await first.close();
    const store = await openStore({ native });
    native.faults.read = 'EIO';
    expect(await store.get({ digest: 'a', index: 0 })).toBeUndefined();
    expect(store.has({ digest: 'a', index: 1 })).toBe(false);
    native.faults.read = '';
    await vi.advanceTimersByTimeAsync(2_000);
    await vi.waitUntil(() => store.stat().disk?.degraded === undefined);
    expect(store.has({ digest: 'a', index: 0 })).toBe(false);
    expect(await holds(store, 'a', 1)).toBe(true);
  });

  it('remembers what was dropped while the disk was away', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    const native = new FakeNative();
    const store = await openStore({ native });
    await put(store, 'a', 0);
    await put(store, 'b', 0);
    await vi.waitUntil(() => store.stat().memory.dirty === 0);
    native.faults.write = 'EIO';
    await put(store, 'c', 0);
    await vi.waitUntil(() => store.stat().disk?.degraded);
    store.drop('a');
    native.faults.write = '';
    await vi.advanceTimersByTimeAsync(2_000);
    await vi.waitUntil(() => store.stat().disk?.degraded === undefined);
    await store.close();
    const reopened = await openStore({ native });
    expect(await holds(reopened, 'a', 0)).toBe(false);
    expect(await holds(reopened, 'b', 0)).toBe(true);
    expect(await holds(reopened, 'c', 0)).toBe(true);
  });

  it('lets pieces expire over a restart too', async () => {
    const native = new FakeNative();
    let now = 1000;
    const first = await openStore({ native, ttl: 100, now: () => now });
    await put(first, 'a', 0);
    await first.close();
    now += 100;
    const second = await openStore({ native, ttl: 100, now: () => now });
    expect(second.stat().pieces).toBe(0);
  });
});
