import { describe, expect, it, vi } from 'vitest';
import { Store } from '../../../src/store/piece-store.ts';
import { HeapArena } from './heap.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const blockSize = 256 * KiB;

function open(capacity = 16 * MiB, options: { ttl?: number } = {}) {
  const clock = { now: 1000 };
  const arena = new HeapArena(capacity);
  const store = new Store({ arena, blockSize, now: () => clock.now, ...options });
  return { store, arena, clock };
}

/** Puts a piece of `length` times `fill` and gives its pin back. */
async function put(store: Store, digest: string, index: number, length = blockSize, fill = index) {
  const writer = await store.reserve({ digest, index }, length);
  writer.buffer.fill(fill);
  writer.commit(fill).release();
}

describe('memory tier', () => {
  it('gives back exactly the bytes that were put, with their checksum', async () => {
    const { store } = open();
    await put(store, 'a', 0, 1000, 7);
    const piece = await store.get({ digest: 'a', index: 0 });
    expect(piece?.bytes).toEqual(Buffer.alloc(1000, 7));
    expect(piece?.crc32c).toBe(7);
    expect(piece?.tier).toBe('memory');
    piece?.release();
  });

  it('does not show a piece before it is committed, nor one that was aborted', async () => {
    const { store } = open();
    const writer = await store.reserve({ digest: 'a', index: 0 }, 10);
    expect(store.has({ digest: 'a', index: 0 })).toBe(false);
    writer.abort();
    expect(store.has({ digest: 'a', index: 0 })).toBe(false);
    expect(store.stat().memory.used).toBe(0);
  });

  it('never evicts or overwrites a pinned piece', async () => {
    const { store } = open(2 * MiB);
    await put(store, 'pinned', 0, blockSize, 255);
    const pin = await store.get({ digest: 'pinned', index: 0 });
    for (let index = 0; index < 100; index += 1) await put(store, 'other', index);
    expect(pin?.bytes.every((byte) => byte === 255)).toBe(true);
    expect(store.has({ digest: 'pinned', index: 0 })).toBe(true);
    pin?.release();
  });

  it('makes a reserve wait while everything is pinned, and serves those who wait in the order in which they came', async () => {
    const { store } = open(MiB);
    const first = await store.reserve({ digest: 'a', index: 0 }, MiB);
    const order: string[] = [];
    const big = store.reserve({ digest: 'b', index: 0 }, MiB).then((writer) => {
      order.push('big');
      return writer;
    });
    const small = store.reserve({ digest: 'c', index: 0 }, 1).then((writer) => {
      order.push('small');
      return writer;
    });
    const pin = first.commit(0);
    pin.release();
    (await big).abort();
    (await small).abort();
    expect(order).toEqual(['big', 'small']);
  });

  it('serves the next in line when the first gives up', async () => {
    const { store } = open(MiB);
    const half = await store.reserve({ digest: 'a', index: 0 }, MiB / 2);
    const controller = new AbortController();
    const big = store.reserve({ digest: 'b', index: 0 }, MiB, controller.signal);
    const small = store.reserve({ digest: 'c', index: 0 }, 1);
    controller.abort(new Error('enough'));
    await expect(big).rejects.toThrow('enough');
    (await small).abort();
    half.abort();
    expect(store.stat().memory.used).toBe(0);
  });

  it('finds room for a large piece among scattered small ones', async () => {
    const { store } = open(16 * MiB);
    for (let index = 0; index < 64; index += 1) await put(store, 'small', index);
    const pins = [];
    // One pinned piece in all windows of 4 MiB but one.
    for (const index of [3, 20, 37]) pins.push(await store.get({ digest: 'small', index }));
    await put(store, 'large', 0, 4 * MiB);
    expect(store.has({ digest: 'large', index: 0 })).toBe(true);
    for (const pin of pins) pin?.release();
  });

  it('forgets a dropped blob at once and frees its pinned pieces when they are released', async () => {
    const { store } = open();
    await put(store, 'a', 0, 10, 1);
    await put(store, 'a', 1, 10, 2);
    const pin = await store.get({ digest: 'a', index: 1 });
    store.drop('a');
    expect(await store.get({ digest: 'a', index: 1 })).toBeUndefined();
    expect(store.stat()).toMatchObject({ pieces: 0, blobs: 0, memory: { used: blockSize } });
    expect(pin?.bytes).toEqual(Buffer.alloc(10, 2));
    pin?.release();
    expect(store.stat().memory.used).toBe(0);
  });

  it('keeps one copy when two writers commit the same piece', async () => {
    const { store } = open();
    const writers = [
      await store.reserve({ digest: 'a', index: 0 }, 10),
      await store.reserve({ digest: 'a', index: 0 }, 10),
    ];
    for (const writer of writers) {
      writer.buffer.fill(1);
      writer.commit(1).release();
    }
    expect(store.stat()).toMatchObject({ pieces: 1, memory: { used: blockSize, pinned: 0 } });
  });

  it('forgets that a blob was verified as soon as one of its pieces leaves, and is not told otherwise after that', async () => {
    const { store } = open(MiB);
    await put(store, 'a', 0);
    await put(store, 'a', 1);
    store.markVerified('a');
    expect(store.isVerified('a')).toBe(true);
    for (let index = 0; index < 3; index += 1) await put(store, 'b', index);
    expect(store.isVerified('a')).toBe(false);
    store.markVerified('a');
    expect(store.isVerified('a')).toBe(false);
  });

  it('lets pieces expire when their time is over', async () => {
    const { store, clock } = open(MiB, { ttl: 60 });
    await put(store, 'a', 0);
    clock.now += 59;
    expect(store.has({ digest: 'a', index: 0 })).toBe(true);
    clock.now += 1;
    expect(await store.get({ digest: 'a', index: 0 })).toBeUndefined();
    expect(store.stat().memory.used).toBe(0);
  });

  it('gives the room of expired pieces back without being asked for them', async () => {
    vi.useFakeTimers();
    const { store, clock } = open(MiB, { ttl: 60 });
    await store.start();
    await put(store, 'a', 0);
    clock.now += 60;
    vi.advanceTimersByTime(60_000);
    expect(store.stat()).toMatchObject({ pieces: 0, memory: { used: 0 } });
    await store.close();
    vi.useRealTimers();
  });

  it('refuses lengths that no piece has', async () => {
    const { store } = open();
    for (const length of [0, -1, 1.5, 4 * MiB + 1, Number.NaN]) {
      await expect(store.reserve({ digest: 'a', index: 0 }, length)).rejects.toThrow(/a piece has 1 to 4194304 bytes/);
    }
  });

  it('rejects those who wait when it is closed, and leaves pinned bytes alone', async () => {
    const { store, arena } = open(MiB);
    await put(store, 'a', 0, MiB, 9);
    const pin = await store.get({ digest: 'a', index: 0 });
    const waiting = store.reserve({ digest: 'b', index: 0 }, 1);
    const refused = expect(waiting).rejects.toMatchObject({ kind: 'closed' });
    await store.close();
    await refused;
    expect(pin?.bytes.every((byte) => byte === 9)).toBe(true);
    pin?.release();
    expect(arena.closed).toBe(true);
    await expect(store.get({ digest: 'a', index: 0 })).rejects.toMatchObject({ kind: 'closed' });
  });
});
