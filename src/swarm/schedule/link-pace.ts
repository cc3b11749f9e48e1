/** Milliseconds with something under way, and pieces that came in them, from which the pace is told. */
const windowLength = 1_000;
const fewestPieces = 2;

/**
 * How quick this node's link is: bytes received for the time in which any were under way, so that a node with little to fetch is not
 * taken for a slow one. The better of the last two windows counts.
 */
export class LinkPace {
  readonly #now: () => number;
  #underWay = 0;
  #since = 0;
  #busy = 0;
  #bytes = 0;
  #pieces = 0;
  #last = 0;
  #before = 0;

  /** `now`: milliseconds, never going back. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** The power of two next to the bytes a second; 0 while it is not known. */
  get value(): number {
    const best = Math.max(this.#last, this.#before);
    return best < 1 ? 0 : Math.round(Math.log2(best));
  }

  /** So many transfers are under way from now on. */
  changed(underWay: number): void {
    this.#count();
    this.#underWay = underWay;
  }

  /** A piece has come. */
  arrived(bytes: number): void {
    this.#count();
    this.#bytes += bytes;
    this.#pieces += 1;
    if (this.#busy < windowLength || this.#pieces < fewestPieces) return;
    this.#before = this.#last;
    this.#last = (this.#bytes / this.#busy) * 1000;
    this.#busy = 0;
    this.#bytes = 0;
    this.#pieces = 0;
  }

  #count(): void {
    const now = this.#now();
    if (this.#underWay > 0) this.#busy += now - this.#since;
    this.#since = now;
  }
}
