import type { Native } from '../native/types.ts';
import type { PieceStore, PieceWriter, PinnedPiece } from '../store/types.ts';
import type { PieceLayout } from './layout.ts';
import type { Run } from './piece-table.ts';

export interface AssemblerOptions {
  readonly digest: string;
  readonly layout: PieceLayout;
  readonly run: Run;
  readonly store: PieceStore;
  readonly native: Pick<Native, 'crc32c'>;
  readonly signal: AbortSignal;
  /** Awaited before memory for a piece is reserved; its signal comes when the assembler ends. */
  readonly beforePiece?: ((signal: AbortSignal) => Promise<void>) | undefined;
  /** Called for each piece as it is complete, in order, with the piece pinned: the callee releases it. */
  readonly onPiece: (index: number, piece: PinnedPiece) => void;
}

/** Memory that was asked for; `writer` once it is there. */
interface Reservation {
  readonly promise: Promise<PieceWriter>;
  writer?: PieceWriter;
}

/**
 * Cuts the bytes of one ranged download into pieces, straight into the store's memory. The next piece's memory is
 * reserved while the current one fills, so that the transfer only pauses when the store itself makes it wait.
 */
export class PieceAssembler {
  readonly #options: AssemblerOptions;
  readonly #ending = new AbortController();
  #index: number;
  #filled = 0;
  /** Of the `#filled` bytes. */
  #crc = 0;
  #writer: PieceWriter | undefined;
  #reservation: Reservation | undefined;

  constructor(options: AssemblerOptions) {
    this.#options = options;
    this.#index = options.run.from;
    this.#reservation = this.#reserve(options.run.from);
  }

  /** The first piece that is not complete. */
  get nextIndex(): number {
    return this.#index;
  }

  /** Takes the chunk's bytes (copies them). The promise, when there is one, asks the transfer to pause. */
  take(chunk: Buffer): void | Promise<void> {
    let rest = chunk;
    while (rest.length > 0) {
      const writer = this.#writer ?? this.#nextWriter();
      if (writer === undefined) return this.#takeLater(rest);
      rest = this.#fill(writer, rest);
    }
  }

  /** Gives back the memory of the piece that was not finished. The assembler can't be used afterwards. */
  async end(): Promise<void> {
    this.#ending.abort();
    this.#writer?.abort();
    this.#writer = undefined;
    const reservation = this.#reservation;
    this.#reservation = undefined;
    const writer = await reservation?.promise.catch(() => undefined);
    writer?.abort();
  }

  /** The reserved memory if it is there by now; reserves for the piece after it. */
  #nextWriter(): PieceWriter | undefined {
    const writer = this.#reservation?.writer;
    if (writer !== undefined) {
      this.#writer = writer;
      this.#reservation = this.#reserve(this.#index + 1);
    }
    return writer;
  }

  async #takeLater(rest: Buffer): Promise<void> {
    if (this.#reservation === undefined) throw new Error('the registry sent more bytes than were asked for');
    await this.#reservation.promise;
    // `end` may have come while we waited: it gives the reserved memory back, nothing may be written to it.
    if (!this.#ending.signal.aborted) return this.take(rest);
  }

  #fill(writer: PieceWriter, chunk: Buffer): Buffer {
    const part = chunk.subarray(0, writer.buffer.length - this.#filled);
    part.copy(writer.buffer, this.#filled);
    // Chunk by chunk, while the bytes are still in the processor's cache.
    this.#crc = this.#options.native.crc32c(part, this.#crc);
    this.#filled += part.length;
    if (this.#filled === writer.buffer.length) {
      const index = this.#index;
      const crc = this.#crc;
      this.#writer = undefined;
      this.#filled = 0;
      this.#crc = 0;
      this.#index += 1;
      this.#options.onPiece(index, writer.commit(crc));
    }
    return chunk.subarray(part.length);
  }

  async #writerOf(index: number): Promise<PieceWriter> {
    const { store, digest, layout, signal, beforePiece } = this.#options;
    await beforePiece?.(this.#ending.signal);
    return store.reserve({ digest, index }, layout.lengthOf(index), signal);
  }

  #reserve(index: number): Reservation | undefined {
    if (index >= this.#options.run.to) return undefined;
    const reservation: Reservation = { promise: this.#writerOf(index) };
    reservation.promise.then(
      (writer) => {
        reservation.writer = writer;
      },
      // Seen when the piece is needed; until then a rejection (abort) must not count as unhandled.
      () => undefined,
    );
    return reservation;
  }
}
