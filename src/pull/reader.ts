import type { PinnedPiece } from '../store/types.ts';
import type { Blob, Interest } from './blob.ts';
import { countTier, type Source } from './source.ts';
import type { BlobChunk } from './types.ts';

/** Pieces that a reader holds or asks for at once: one on its way out, one read from the disk meanwhile. */
const piecesAhead = 2;
/** How far ahead of a reader of a part the origin is asked: such readers often leave early (containerd 2.1, snapshotters). */
const partialAheadBytes = 32 * 1024 * 1024;

/**
 * The bytes [start, end) of a blob, piece by piece. The blob's last piece is only given out when the whole blob was found
 * right, if the whole blob passes through here. `source` is the account on which cache hits are booked.
 */
export async function* readBlob(
  blob: Blob,
  source: Source,
  start: number,
  end: number,
  signal: AbortSignal,
): AsyncGenerator<BlobChunk, void, undefined> {
  if (start >= end) return;
  const { layout } = blob;
  const whole = start === 0 && end === layout.size;
  const to = layout.pieceAt(end - 1) + 1;
  const interest: Interest = {
    from: layout.pieceAt(start),
    to,
    whole,
    aheadBytes: whole ? Number.POSITIVE_INFINITY : partialAheadBytes,
  };
  blob.addInterest(interest);
  const ahead: Promise<PinnedPiece>[] = [];
  let next = interest.from;
  try {
    for (let index = interest.from; index < to; index += 1) {
      while (next < to && ahead.length < piecesAhead) {
        const piece = blob.piece(next, signal);
        piece.catch(() => undefined);
        ahead.push(piece);
        next += 1;
      }
      const piece = await ahead[0];
      if (piece === undefined) return;
      if (index === layout.count - 1) await blob.checked(signal);
      ahead.shift();
      blob.handOut(index, piece);
      blob.advance(interest, index + 1);
      if (blob.fetchedFor[index] !== source) countTier(source, piece.tier, piece.bytes.length);
      const offset = layout.startOf(index);
      yield {
        bytes: piece.bytes.subarray(Math.max(start - offset, 0), end - offset),
        release: () => piece.release(),
      };
    }
  } finally {
    blob.removeInterest(interest);
    for (const piece of ahead) piece.then((pinned) => pinned.release()).catch(() => undefined);
  }
}
