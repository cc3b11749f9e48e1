import { Piece } from './piece.ts';

/** The pieces that anyone holds or wants, by blob. */
export class Pieces {
  readonly #blobs = new Map<string, Map<number, Piece>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get blobs(): number {
    return this.#blobs.size;
  }

  find(blob: string, index: number): Piece | undefined {
    return this.#blobs.get(blob)?.get(index);
  }

  /** The piece, entered in the book when it is new. */
  open(blob: string, index: number): Piece {
    let pieces = this.#blobs.get(blob);
    if (pieces === undefined) {
      pieces = new Map();
      this.#blobs.set(blob, pieces);
    }
    let piece = pieces.get(index);
    if (piece === undefined) {
      piece = new Piece(blob, index);
      pieces.set(index, piece);
      this.#size += 1;
    }
    return piece;
  }

  /** Strikes the piece off: nobody has anything to do with it any more. */
  close(piece: Piece): void {
    const pieces = this.#blobs.get(piece.blob);
    if (pieces === undefined || !pieces.delete(piece.index)) return;
    this.#size -= 1;
    if (pieces.size === 0) this.#blobs.delete(piece.blob);
  }

  *all(): Generator<Piece, void, undefined> {
    for (const pieces of this.#blobs.values()) yield* pieces.values();
  }

  *ofBlob(blob: string): Generator<Piece, void, undefined> {
    const pieces = this.#blobs.get(blob);
    if (pieces !== undefined) yield* pieces.values();
  }
}
