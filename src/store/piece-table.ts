import { Blob, type Piece } from './piece.ts';
import type { PieceKey } from './types.ts';

/** Every piece in the store, by blob, and what is known of the blobs. */
export class PieceTable {
  /** Called for each piece that leaves. */
  onRemove: ((key: PieceKey) => void) | undefined;
  readonly #blobs = new Map<string, Blob>();
  #pieces = 0;

  get pieces(): number {
    return this.#pieces;
  }

  get blobs(): number {
    return this.#blobs.size;
  }

  blob(digest: string): Blob | undefined {
    return this.#blobs.get(digest);
  }

  find(key: PieceKey): Piece | undefined {
    return this.#blobs.get(key.digest)?.pieces.get(key.index);
  }

  /** The blob to make a piece for; `add` brings it in. */
  blobFor(digest: string): Blob {
    return this.#blobs.get(digest) ?? new Blob(digest);
  }

  /** The place of the piece must be free. */
  add(piece: Piece): void {
    this.#blobs.set(piece.blob.digest, piece.blob);
    piece.blob.pieces.set(piece.index, piece);
    this.#pieces += 1;
  }

  /** Takes the piece out; the rest of its blob counts as unverified from now on. */
  remove(piece: Piece): void {
    const { blob } = piece;
    if (blob.pieces.get(piece.index) !== piece) return;
    blob.pieces.delete(piece.index);
    blob.breakUp();
    piece.gone = true;
    this.#pieces -= 1;
    if (blob.pieces.size === 0) this.#blobs.delete(blob.digest);
    this.onRemove?.({ digest: blob.digest, index: piece.index });
  }

  allBlobs(): Iterable<Blob> {
    return this.#blobs.values();
  }

  *[Symbol.iterator](): Generator<Piece> {
    for (const blob of this.#blobs.values()) yield* blob.pieces.values();
  }
}
