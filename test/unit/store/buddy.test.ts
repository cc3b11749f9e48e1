import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BuddyAllocator, type Run } from '../../../src/store/buddy.ts';

/** Blocks that a run covers. */
function blocksOf({ at, count }: Run): number[] {
  return Array.from({ length: count }, (_, offset) => at + offset);
}

describe('buddy allocator', () => {
  it('hands out runs that never overlap, never cross a window, and come back whole', () => {
    const operation = fc.oneof(
      fc.integer({ min: 1, max: 16 }).map((count) => ({ count })),
      fc.nat().map((pick) => ({ pick })),
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.array(operation, { maxLength: 200 }), (blocks, operations) => {
        const buddy = new BuddyAllocator(blocks, 16);
        const runs: Run[] = [];
        for (const step of operations) {
          if ('count' in step) {
            const at = buddy.allocate(step.count);
            if (at === undefined) continue;
            const size = 2 ** Math.ceil(Math.log2(step.count));
            expect(at % size).toBe(0);
            runs.push({ at, count: step.count });
          } else {
            const [run] = runs.splice(step.pick % Math.max(1, runs.length), 1);
            if (run) buddy.release(run.at, run.count);
          }
          const taken = runs.flatMap(blocksOf);
          const free = [...buddy.freeRuns()].flatMap(blocksOf);
          expect(new Set([...taken, ...free]).size).toBe(blocks);
          expect(taken.length + free.length).toBe(blocks);
          expect(buddy.free).toBe(free.length);
        }
        for (const run of runs) buddy.release(run.at, run.count);
        expect(buddy.free).toBe(blocks);
        // All is merged again: as many of the longest runs as fit can be had.
        for (let at = 0; at + 16 <= blocks; at += 16) expect(buddy.allocate(16)).toBeDefined();
      }),
    );
  });

  it('costs a run of five blocks five blocks', () => {
    const buddy = new BuddyAllocator(16, 16);
    expect(buddy.allocate(5)).toBe(0);
    expect(buddy.free).toBe(11);
    expect(buddy.allocate(8)).toBe(8);
    expect(buddy.allocate(3)).toBeUndefined();
    expect(buddy.allocate(2)).toBe(6);
    expect(buddy.allocate(1)).toBe(5);
  });

  it('starts with the runs that it is told are used', () => {
    const buddy = new BuddyAllocator(10, 4, [
      { at: 7, count: 2 },
      { at: 0, count: 3 },
    ]);
    expect(buddy.free).toBe(5);
    expect([...buddy.freeRuns()].flatMap(blocksOf)).toEqual([3, 4, 5, 6, 9]);
  });

  it('refuses used runs that overlap or leave the range, and a release of what is free', () => {
    const overlapping = [
      { at: 0, count: 3 },
      { at: 2, count: 2 },
    ];
    expect(() => new BuddyAllocator(10, 4, overlapping)).toThrow('overlaps');
    expect(() => new BuddyAllocator(10, 4, [{ at: 8, count: 3 }])).toThrow('ends at block 11 of 10');
    const buddy = new BuddyAllocator(10, 4);
    const at = buddy.allocate(4) ?? -1;
    buddy.release(at, 4);
    expect(() => buddy.release(at, 4)).toThrow('free already');
  });
});
