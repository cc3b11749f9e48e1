import type { Native, Sha256 } from '../native/types.ts';
import type { PinnedPiece } from '../store/types.ts';
import type { PieceLayout } from './layout.ts';

/** Pieces whose hashing may be under way at once: keeps the hashing thread busy, pins little. */
const piecesInFlight = 4;

/** Where the verifier gets the pieces from, in order. */
export interface VerifierSource {
  readonly digest: string;
  readonly layout: PieceLayout;
  /** Resolves when the piece is there, without asking for it: the verifier follows the readers, it never runs ahead. */
  pieceWhenThere(index: number, signal: AbortSignal): Promise<PinnedPiece>;
  /** Called with the number of pieces that were hashed so far. */
  hashed(pieces: number): void;
}

/**
 * The SHA-256 of a whole blob, fed piece by piece in order, on the addon's threads. Returns whether it is the blob's
 * digest, and the CRC32C of every piece that went in, so that a second download can be compared with what was handed
 * out of the first.
 */
export async function hashBlob(
  source: VerifierSource,
  native: Pick<Native, 'createSha256'>,
  signal: AbortSignal,
): Promise<{ readonly matches: boolean; readonly crcs: Uint32Array }> {
  const hash = native.createSha256();
  const crcs = new Uint32Array(source.layout.count);
  const underWay: Promise<void>[] = [];
  try {
    for (let index = 0; index < source.layout.count; index += 1) {
      const piece = await source.pieceWhenThere(index, signal);
      crcs[index] = piece.crc32c;
      underWay.push(updateAndRelease(hash, piece));
      if (underWay.length >= piecesInFlight) await underWay.shift();
      source.hashed(index + 1 - underWay.length);
    }
  } finally {
    // Every pin is given back, and no rejection stays unseen, however the loop ended.
    await Promise.allSettled(underWay);
  }
  await Promise.all(underWay);
  return { matches: `sha256:${await hash.digest()}` === source.digest, crcs };
}

async function updateAndRelease(hash: Sha256, piece: PinnedPiece): Promise<void> {
  try {
    await hash.update(piece.bytes);
  } finally {
    piece.release();
  }
}
