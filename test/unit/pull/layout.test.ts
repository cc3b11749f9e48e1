import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PieceLayout } from '../../../src/pull/layout.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

describe('the layout of a blob', () => {
  it.each([
    [1, 256 * KiB, 1],
    [256 * KiB, 256 * KiB, 1],
    [256 * KiB + 1, 256 * KiB, 2],
    [128 * MiB, 256 * KiB, 512],
    [128 * MiB + 1, 512 * KiB, 257],
    [GiB, 2 * MiB, 512],
    [2 * GiB + 1, 4 * MiB, 513],
    [100 * GiB, 4 * MiB, 25_600],
  ])('cuts %d bytes into pieces of %d', (size, pieceLength, count) => {
    const layout = new PieceLayout(size, 256 * KiB);
    expect([layout.pieceLength, layout.count]).toEqual([pieceLength, count]);
  });

  it('has no piece for an empty blob', () => {
    expect(new PieceLayout(0, 256 * KiB).count).toBe(0);
  });

  it('never makes a piece smaller than the block', () => {
    expect(new PieceLayout(10, MiB).pieceLength).toBe(MiB);
  });

  it('covers every byte exactly once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 64 * GiB }), fc.nat(), (size, seed) => {
        const layout = new PieceLayout(size, 256 * KiB);
        const index = seed % layout.count;
        const { start, end } = layout.rangeOf(index, index + 1);
        expect(end - start).toBe(layout.lengthOf(index));
        expect(layout.pieceAt(start)).toBe(index);
        expect(layout.pieceAt(end - 1)).toBe(index);
        expect(end).toBe(index === layout.count - 1 ? size : layout.startOf(index + 1));
      }),
    );
  });
});
