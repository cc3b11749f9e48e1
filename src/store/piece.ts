import type { Frame } from './memory-tier.ts';

/** A piece that is in the store, in one tier or both. */
export class Piece {
  readonly blob: Blob;
  readonly index: number;
  readonly length: number;
  readonly crc32c: number;
  /** When it was put, seconds since the epoch. */
  readonly storedAt: number;
  frame: Frame<Piece> | undefined;

  constructor(blob: Blob, index: number, length: number, crc32c: number, storedAt: number) {
    this.blob = blob;
    this.index = index;
    this.length = length;
    this.crc32c = crc32c;
    this.storedAt = storedAt;
  }
}

/** The pieces of one blob that are in the store; the blob goes with its last piece. */
export class Blob {
  readonly digest: string;
  readonly pieces = new Map<number, Piece>();
  verified = false;
  /**
   * A piece has left. What comes back in its place may not be what was hashed, so the blob can't be marked as verified
   * until it has gone altogether.
   */
  broken = false;

  constructor(digest: string) {
    this.digest = digest;
  }
}

/** A piece's name in the eviction order. */
export function pieceId(digest: string, index: number): string {
  return `${digest}/${index}`;
}
