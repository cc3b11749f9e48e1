import type { Extent } from './extents.ts';
import type { Load } from './load.ts';
import type { Frame } from './memory-tier.ts';

/** A piece that is in the store, in one tier or both. */
export class Piece {
  readonly blob: Blob;
  readonly index: number;
  readonly length: number;
  readonly crc32c: number;
  /** When it was put, seconds since the epoch. */
  readonly storedAt: number;
  /** Its place in memory. */
  frame: Frame<Piece> | undefined;
  /** Its place on the disk. */
  extent: Extent | undefined;
  /** The read from the disk under way. */
  load: Load | undefined;
  /** It has left the store; I/O that is still under way for it comes to nothing. */
  gone = false;

  constructor(blob: Blob, index: number, length: number, crc32c: number, storedAt: number) {
    this.blob = blob;
    this.index = index;
    this.length = length;
    this.crc32c = crc32c;
    this.storedAt = storedAt;
  }

  /** Names the piece in the eviction orders. */
  get id(): string {
    return pieceId(this.blob.digest, this.index);
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

  /** Bytes of the blob were replaced, or have left. */
  breakUp(): void {
    this.verified = false;
    this.broken = true;
  }

  /** Whether a restart would find the blob verified: only then may the index say so. */
  get verifiedOnDisk(): boolean {
    if (!this.verified) return false;
    for (const piece of this.pieces.values()) if (!piece.extent) return false;
    return true;
  }
}

export function pieceId(digest: string, index: number): string {
  return `${digest}/${index}`;
}
