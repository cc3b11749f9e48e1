import type { PinnedPiece } from '../store/types.ts';
import type { Blob, Interest } from './blob.ts';
import { countPiece, type Source } from './source.ts';
import type { BlobChunk } from './types.ts';

/** Pieces that a reader holds or asks for at once: one on its way out, one read from the disk meanwhile. */
const piecesAhead = 2;
/** How far ahead of a reader of a part the origin is asked: such readers often leave early (containerd 2.1, snapshotters). */
const partialAheadBytes = 32 * 1024 * 1024;

/** A piece that was asked for, and in which of the blob's attempts. */
interface Ahead {
  readonly piece: Promise<PinnedPiece>;
  readonly attempt: number;
}

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
  const turn = source.order.join(blob.rank);
  const { layout } = blob;
  const whole = start === 0 && end === layout.size;
  const to = layout.pieceAt(end - 1) + 1;
  const interest: Interest = {
    from: layout.pieceAt(start),
    to,
    whole,
    reads: true,
    aheadBytes: whole ? Number.POSITIVE_INFINITY : partialAheadBytes,
  };
  blob.addInterest(interest);
  const ahead: Ahead[] = [];
  const ask = (index: number): Ahead => {
    const piece = blob.piece(index, signal);
    // Awaited in its turn; until then a failure must not count as unhandled.
    piece.catch(() => undefined);
    return { piece, attempt: blob.attempt };
  };
  let next = interest.from;
  try {
    for (let index = interest.from; index < to; index += 1) {
      while (next < to && ahead.length < piecesAhead) {
        ahead.push(ask(next));
        next += 1;
      }
      if (whole) await blob.pace(index, signal);
      let [first = ask(index)] = ahead;
      let piece = await first.piece;
      if (index === layout.count - 1) await blob.checked(signal);
      while (first.attempt !== blob.attempt) {
        piece.release();
        first = ask(index);
        ahead[0] = first;
        piece = await first.piece;
      }
      await turn.take();
      ahead.shift();
      blob.handOut(index, piece);
      blob.advance(interest, index + 1);
      if (blob.fetchedFor[index] !== source) {
        countPiece(source, { digest: blob.digest, index, bytes: piece.bytes.length, source: piece.tier });
      }
      const offset = layout.startOf(index);
      const bytes = piece.bytes.subarray(Math.max(start - offset, 0), end - offset);
      source.trace.delivered(blob.digest, bytes.length);
      yield {
        bytes,
        release: () => piece.release(),
      };
    }
  } finally {
    turn.leave();
    blob.removeInterest(interest);
    for (const { piece } of ahead) {
      piece.then(
        (pinned) => pinned.release(),
        // It never came: there is nothing to give back.
        () => undefined,
      );
    }
  }
}
