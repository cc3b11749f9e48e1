import { describe, expect, it } from 'vitest';
import { native } from '../../../src/native/index.ts';

const MiB = 2 ** 20;
const GiB = 2 ** 30;

describe('the arena', () => {
  it('gives views of one memory', () => {
    const arena = native.createArena({ capacity: MiB });
    arena.view(8192, 16).fill(7);
    expect(arena.view(8200, 4)).toEqual(Buffer.alloc(4, 7));
    expect(arena.view(0, MiB).length).toBe(MiB);
    expect(arena.capacity).toBe(MiB);
  });

  it('reaches beyond 4 GiB and takes no memory before it is touched', () => {
    const before = process.memoryUsage.rss();
    const arena = native.createArena({ capacity: 8 * GiB, hugePages: true });
    arena.view(8 * GiB - 4096, 4096).fill(0xa5);
    arena.view(4 * GiB - 8, 16).write('over the edge');
    expect(arena.view(8 * GiB - 1, 1)[0]).toBe(0xa5);
    expect(arena.view(4 * GiB - 8, 13).toString()).toBe('over the edge');
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 * MiB);
  });

  it('gives discarded pages back, and no others', () => {
    const arena = native.createArena({ capacity: 64 * MiB });
    const all = arena.view(0, 64 * MiB).fill(1);
    const filled = process.memoryUsage.rss();
    arena.discard(4096, 63 * MiB);
    expect(filled - process.memoryUsage.rss()).toBeGreaterThan(48 * MiB);
    expect(all[4095]).toBe(1);
    expect(all[4096 + 63 * MiB]).toBe(1);
    expect(all.subarray(4096, 8192).every((byte) => byte === 0)).toBe(true);
  });

  it('keeps views readable after it is closed, but gives no more', () => {
    const arena = native.createArena({ capacity: MiB });
    const view = arena.view(0, 4).fill(3);
    arena.close();
    arena.close();
    expect(view).toEqual(Buffer.from([3, 3, 3, 3]));
    expect(() => arena.view(0, 4)).toThrow('closed');
    expect(() => arena.discard(0, 4096)).toThrow('closed');
  });

  it.each([
    [0, MiB + 1],
    [MiB, 1],
    [-1, 1],
    [1, -1],
    [0.5, 1],
    [0, Number.NaN],
    [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  ])('refuses the view [%d, + %d) of 1 MiB', (offset, length) => {
    const arena = native.createArena({ capacity: MiB });
    expect(() => arena.view(offset, length)).toThrow(RangeError);
  });

  it.each([
    [1, 4096],
    [0, 1],
    [MiB, 4096],
  ])('refuses to discard [%d, + %d) of 1 MiB', (offset, length) => {
    const arena = native.createArena({ capacity: MiB });
    expect(() => arena.discard(offset, length)).toThrow(RangeError);
  });

  it.each([0, -4096, 1, 4097, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])(
    'refuses a capacity of %d',
    (capacity) => {
      expect(() => native.createArena({ capacity })).toThrow(RangeError);
    },
  );

  it('says ENOMEM when there is no such address space', () => {
    expect(() => native.createArena({ capacity: 2 ** 50 })).toThrow(expect.objectContaining({ code: 'ENOMEM' }));
  });
});
