import type { Request } from './request.ts';

/** A blob to be brought here, and how it is cut. */
export interface TargetOptions {
  /** `sha256:…` */
  readonly blob: string;
  readonly pieces: number;
  /** Bytes of every piece but the last. */
  readonly pieceBytes: number;
  /** `<registry>/<repository>` */
  readonly source: string;
  /** The first piece that is not wanted for now; by default all are. */
  readonly end?: number;
}

const absent = 0;
/** In the window: wanted, or about to be. */
const admitted = 1;
const held = 2;

/** How far one blob has come: which pieces are here, which are in the window, and where its reader is. */
export class Target {
  readonly blob: string;
  readonly pieces: number;
  readonly pieceBytes: number;
  readonly source: string;
  /** The pieces of the window that are not here yet. */
  readonly requests = new Map<number, Request>();
  readonly #state: Uint8Array;
  /** The first piece that the reader has not had. */
  reader = 0;
  /** The first piece that was never admitted in order. */
  frontier = 0;
  /** The first piece that is not wanted for now: somebody reads a part. */
  end: number;

  constructor(options: TargetOptions) {
    this.blob = options.blob;
    this.pieces = options.pieces;
    this.pieceBytes = options.pieceBytes;
    this.source = options.source;
    this.end = options.end ?? options.pieces;
    this.#state = new Uint8Array(options.pieces);
  }

  isAbsent(piece: number): boolean {
    return this.#state[piece] === absent;
  }

  isHeld(piece: number): boolean {
    return this.#state[piece] === held;
  }

  admit(piece: number): void {
    this.#state[piece] = admitted;
  }

  hold(piece: number): void {
    this.#state[piece] = held;
  }

  lose(piece: number): void {
    this.#state[piece] = absent;
  }
}
