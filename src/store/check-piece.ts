import { StoreError } from './errors.ts';
import { longestDigest } from './journal-format.ts';
import type { PieceKey } from './types.ts';

/** Throws a `StoreError` for a piece that the index could not name or a tier could not hold; `most`: bytes of the longest one. */
export function checkPiece({ digest, index }: PieceKey, length: number, most: number): void {
  if (!Number.isInteger(length) || length < 1 || length > most) {
    throw new StoreError('piece', `a piece has 1 to ${most} bytes, not ${length}`);
  }
  if (!Number.isInteger(index) || index < 0 || index > 0xffffffff) {
    throw new StoreError('piece', `a piece's index is a number from 0 to 2^32 - 1, not ${index}`);
  }
  if (digest.length > longestDigest) {
    throw new StoreError('piece', `a digest has at most ${longestDigest} characters, not ${digest.length}`);
  }
}
