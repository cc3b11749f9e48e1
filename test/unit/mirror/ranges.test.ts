import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { maxRanges, selectRanges } from '../../../src/mirror/ranges.ts';

const part = (start: number, end: number) => ({ kind: 'parts', ranges: [{ start, end }] });

describe('a range of 1000 bytes', () => {
  it.each([
    ['bytes=0-0', 0, 1],
    ['bytes=0-999', 0, 1000],
    ['bytes=10-19', 10, 20],
    ['bytes=999-', 999, 1000],
    ['bytes=0-', 0, 1000],
    ['bytes=-1', 999, 1000],
    ['bytes=-5000', 0, 1000],
    ['bytes=500-5000', 500, 1000],
    ['Bytes=10-19', 10, 20],
    ['bytes= 10-19 ', 10, 20],
    [`bytes=10-${'9'.repeat(400)}`, 10, 1000],
    ['bytes=990-999,1000-1001', 990, 1000],
  ])('%s', (header, start, end) => {
    expect(selectRanges(header, 1000)).toEqual(part(start, end));
  });

  it.each(['bytes=1000-', 'bytes=1000-2000', 'bytes=-0', 'bytes=1000-,-0', `bytes=${'9'.repeat(400)}-`])(
    '%s lies outside',
    (header) => {
      expect(selectRanges(header, 1000)).toEqual({ kind: 'unsatisfiable' });
    },
  );

  it.each([
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=,',
    'bytes=-',
    'bytes=a-b',
    'bytes=20-10',
    `bytes=1${'0'.repeat(400)}-${'9'.repeat(400)}`,
    'bytes=1-2-3',
    'bytes=1.5-2',
    'bytes=+1-2',
    'bytes=0x1-2',
    'bytes=10-19,x',
    'items=0-9',
    'bytes 0-9',
  ])('%s is ignored', (header) => {
    expect(selectRanges(header, 1000)).toEqual({ kind: 'whole' });
  });
});

describe('several ranges', () => {
  it('keep the order in which they were asked for; those outside are left out', () => {
    expect(selectRanges('bytes=900-949, 0-9,,5000-, -10', 1000)).toEqual({
      kind: 'parts',
      ranges: [
        { start: 900, end: 950 },
        { start: 0, end: 10 },
        { start: 990, end: 1000 },
      ],
    });
  });

  it('that overlap to more than the whole are answered with the whole', () => {
    expect(selectRanges('bytes=0-,0-,0-', 1000)).toEqual({ kind: 'whole' });
    expect(selectRanges('bytes=0-599,400-999', 1000)).toEqual({ kind: 'whole' });
  });

  it(`are served up to ${maxRanges}`, () => {
    const header = (count: number) =>
      `bytes=${Array.from({ length: count }, (_, at) => `${2 * at}-${2 * at}`).join(',')}`;
    expect(selectRanges(header(maxRanges), 1e6)).toMatchObject({ kind: 'parts', ranges: { length: maxRanges } });
    expect(selectRanges(header(maxRanges + 1), 1e6)).toEqual({ kind: 'too-many' });
  });
});

describe('a Range header', () => {
  it('of any content never selects bytes that are not there, nor more than there are', () => {
    const text = fc.array(fc.constantFrom('bytes', '=', '-', ',', ' ', '0', '1', '7', '99', '1000', 'x'), {
      maxLength: 30,
    });
    fc.assert(
      fc.property(
        fc.oneof(
          text.map((words) => words.join('')),
          text.map((words) => `bytes=${words.join('')}`),
          fc.string(),
        ),
        fc.nat(2000),
        (header, size) => {
          const selection = selectRanges(header, size);
          if (selection.kind !== 'parts') return;
          expect(selection.ranges.length).toBeGreaterThan(0);
          let sum = 0;
          for (const { start, end } of selection.ranges) {
            expect(0 <= start && start < end && end <= size).toBe(true);
            sum += end - start;
          }
          expect(sum).toBeLessThanOrEqual(size);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('of disjoint ranges selects exactly these', () => {
    const cuts = fc
      .uniqueArray(fc.nat(10_000), { minLength: 2, maxLength: 40 })
      .map((list) => list.sort((a, b) => a - b));
    fc.assert(
      fc.property(cuts, (points) => {
        const ranges = [];
        for (let at = 0; at + 1 < points.length; at += 2)
          ranges.push({ start: points[at] ?? 0, end: points[at + 1] ?? 0 });
        const header = `bytes=${ranges.map(({ start, end }) => `${start}-${end - 1}`).join(', ')}`;
        expect(selectRanges(header, 10_000)).toEqual({ kind: 'parts', ranges });
      }),
    );
  });
});
