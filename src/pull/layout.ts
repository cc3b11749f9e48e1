import type { ByteRange } from '../registry/types.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** Twice as much would cost the nodes a fifth less CPU, but see docs/pull.md, blobs and pieces. */
const smallestPiece = 256 * KiB;
const largestPiece = 4 * MiB;
/** A blob is cut into about this many pieces, as far as the bounds allow: enough to spread over a swarm. */
const piecesPerBlob = 512;

/** How a blob of one size is cut into pieces. Every node computes the same from the descriptor's size. */
export class PieceLayout {
  readonly size: number;
  readonly pieceLength: number;
  readonly count: number;

  /** `size` in bytes; `blockBytes`: the store's block, which a piece is never smaller than. */
  constructor(size: number, blockBytes: number) {
    this.size = size;
    this.pieceLength = pieceLength(size, blockBytes);
    this.count = Math.ceil(size / this.pieceLength);
  }

  /** Bytes of piece `index`; only the last piece may be shorter than the others. */
  lengthOf(index: number): number {
    return Math.min(this.pieceLength, this.size - index * this.pieceLength);
  }

  startOf(index: number): number {
    return index * this.pieceLength;
  }

  /** The piece that holds byte `offset`. */
  pieceAt(offset: number): number {
    return Math.floor(offset / this.pieceLength);
  }

  /** Bytes of the pieces [from, to). */
  rangeOf(from: number, to: number): ByteRange {
    return { start: this.startOf(from), end: Math.min(this.size, this.startOf(to)) };
  }
}

/** clamp(nextPow2(size / 512), 256 KiB, 4 MiB), and at least a block (docs/pull.md, blobs and pieces). */
function pieceLength(size: number, blockBytes: number): number {
  let length = smallestPiece;
  while (length < largestPiece && length * piecesPerBlob < size) length *= 2;
  return Math.max(length, blockBytes);
}
