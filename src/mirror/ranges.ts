import type { ByteRange } from '../registry/types.ts';

/** What a Range header means for content of a known size. */
export type Selection =
  /** No range, or one to be ignored: 200 with everything. */
  | { readonly kind: 'whole' }
  /** 206. In the order in which they were asked for; never empty, every range within the size and not empty. */
  | { readonly kind: 'parts'; readonly ranges: readonly ByteRange[] }
  /** 416: no range begins within the content. */
  | { readonly kind: 'unsatisfiable' }
  /** 400: more than `maxRanges`. */
  | { readonly kind: 'too-many' };

/**
 * containers/image asks for at most 1024 ranges (zstd:chunked); it answers 400 by asking for fewer at a time, so that is
 * what anybody with more gets.
 */
export const maxRanges = 1024;

/**
 * Reads a Range header by RFC 9110, 14.1.2 and 14.2: an unknown unit or bad syntax is ignored; ranges that begin behind the
 * end are left out, those that end behind it are cut. Ranges that together exceed the content can only overlap: such a
 * header is ignored (14.2 allows it), so that no request costs more bytes than the content has. `size` in bytes.
 */
export function selectRanges(header: string | undefined, size: number): Selection {
  if (header === undefined) return { kind: 'whole' };
  const set = /^bytes=(.*)$/i.exec(header)?.[1];
  if (set === undefined) return { kind: 'whole' };
  // RFC 9110, 5.6.1: empty elements of a list are to be passed over.
  const specs = set
    .split(',')
    .map((spec) => spec.trim())
    .filter(Boolean);
  const ranges: ByteRange[] = [];
  for (const spec of specs) {
    const range = parseSpec(spec, size);
    if (range === undefined) return { kind: 'whole' };
    if (range.start < range.end) ranges.push(range);
  }
  if (specs.length === 0) return { kind: 'whole' };
  if (specs.length > maxRanges) return { kind: 'too-many' };
  if (ranges.length === 0) return { kind: 'unsatisfiable' };
  const selected = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  return selected > size ? { kind: 'whole' } : { kind: 'parts', ranges };
}

/** One `first-last`, `first-` or `-length`; empty when it lies outside; undefined when it is none of these. */
function parseSpec(spec: string, size: number): ByteRange | undefined {
  const match = /^(\d*)-(\d*)$/.exec(spec);
  if (match === null || spec === '-') return undefined;
  const [, first = '', last = ''] = match;
  // Numbers of any length are valid; those beyond 2^53 lose digits, but every one of them is behind every end.
  if (first === '') return { start: Math.max(size - Number(last), 0), end: size };
  if (last === '') return { start: Math.min(Number(first), size), end: size };
  if (BigInt(last) < BigInt(first)) return undefined;
  return { start: Math.min(Number(first), size), end: Math.min(Number(last) + 1, size) };
}
