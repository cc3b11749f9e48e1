/** Bytes [start, end) of a piece. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

const pattern = /^bytes=([0-9]{0,10})-([0-9]{0,10})$/;

/**
 * What a `Range` header asks of `length` bytes (RFC 9110 §14.1.2). Undefined: everything, for no header and for those that may
 * be ignored (other units, several ranges); `unsatisfiable`: 416.
 */
export function parseRange(header: string | undefined, length: number): ByteRange | 'unsatisfiable' | undefined {
  const [, first, last] = pattern.exec(header ?? '') ?? [];
  if (first === undefined || last === undefined || (first === '' && last === '')) return undefined;
  if (first === '') {
    const suffix = Math.min(Number(last), length);
    return suffix === 0 ? 'unsatisfiable' : { start: length - suffix, end: length };
  }
  const start = Number(first);
  const end = last === '' ? length : Math.min(Number(last) + 1, length);
  // "3-2" is no range at all and ignored.
  if (last !== '' && Number(last) < start) return undefined;
  return start < length ? { start, end } : 'unsatisfiable';
}
