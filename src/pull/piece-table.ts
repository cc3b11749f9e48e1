import type { PieceLayout } from './layout.ts';

const absent = 0;
const fetching = 1;
const stored = 2;

/** Pieces [from, to) of a blob that one request to the origin fetches. */
export interface Run {
  readonly from: number;
  readonly to: number;
}

/**
 * What is known of each piece of a blob that is being pulled: absent, on its way, or in the store. The store has the
 * last word (it may evict), so `stored` here means "was there when we last looked".
 */
export class PieceTable {
  readonly #layout: PieceLayout;
  readonly #state: Uint8Array;
  /** Fetched ahead of every reader and not read since: 1. */
  readonly #unread: Uint8Array;
  #fetchingBytes = 0;
  #unreadBytes = 0;

  constructor(layout: PieceLayout) {
    this.#layout = layout;
    this.#state = new Uint8Array(layout.count);
    this.#unread = new Uint8Array(layout.count);
  }

  /** Bytes on their way, and bytes that wait in the store for their first reader: what the window has to hold. */
  get windowBytes(): number {
    return this.#fetchingBytes + this.#unreadBytes;
  }

  /** Bytes that wait in the store for their first reader. */
  get unreadBytes(): number {
    return this.#unreadBytes;
  }

  isAbsent(index: number): boolean {
    return this.#state[index] === absent;
  }

  isFetching(index: number): boolean {
    return this.#state[index] === fetching;
  }

  /** The first absent piece in [from, to), or -1. */
  firstAbsent(from: number, to: number): number {
    const found = this.#state.indexOf(absent, from);
    return found >= 0 && found < to ? found : -1;
  }

  /** The absent pieces from `from` on without a gap, before `to`, of at most `bytes` bytes but at least one piece. */
  runAt(from: number, to: number, bytes: number): Run {
    let end = from + 1;
    let length = this.#layout.lengthOf(from);
    while (end < to && this.#state[end] === absent) {
      length += this.#layout.lengthOf(end);
      if (length > bytes) break;
      end += 1;
    }
    return { from, to: end };
  }

  markFetching(run: Run): void {
    for (let index = run.from; index < run.to; index += 1) {
      this.#state[index] = fetching;
      this.#fetchingBytes += this.#layout.lengthOf(index);
    }
  }

  /** The piece came from the origin (or a peer) and is in the store. */
  markFetched(index: number): void {
    this.#leaveFetching(index);
    this.#state[index] = stored;
    if (this.#unread[index] === 0) {
      this.#unread[index] = 1;
      this.#unreadBytes += this.#layout.lengthOf(index);
    }
  }

  /** The store has the piece. */
  markStored(index: number): void {
    if (this.#state[index] === absent) this.#state[index] = stored;
  }

  /** The store no longer has the piece; a fetch under way stays one. */
  markLost(index: number): void {
    if (this.#state[index] === stored) this.#state[index] = absent;
    this.markRead(index);
  }

  /** The fetch of the piece ended without it. */
  markFailed(index: number): void {
    this.#leaveFetching(index);
    if (this.#state[index] === fetching) this.#state[index] = absent;
  }

  /** A reader took the piece: it no longer fills the window. */
  markRead(index: number): void {
    if (this.#unread[index] === 1) {
      this.#unread[index] = 0;
      this.#unreadBytes -= this.#layout.lengthOf(index);
    }
  }

  #leaveFetching(index: number): void {
    if (this.#state[index] === fetching) this.#fetchingBytes -= this.#layout.lengthOf(index);
  }
}
