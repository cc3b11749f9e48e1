/** Seconds that a clock may be off before it is worth a word: a signature's date may be 15 minutes off. */
const tolerated = 60;

/**
 * Alibaba Cloud's time. It is this node's, until an answer shows that the node's clock is off: signatures go by the server's
 * clock then, and so do the expiry times that it tells.
 */
export class ServerTime {
  readonly #localNow: () => number;
  #offsetMs = 0;

  /** `localNow`: milliseconds since 1970 by this node's clock. */
  constructor(localNow: () => number) {
    this.#localNow = localNow;
  }

  /** Milliseconds since 1970. */
  now(): number {
    return this.#localNow() + this.#offsetMs;
  }

  /** How far this node's clock is behind, in seconds; negative when it is ahead. */
  get behindSeconds(): number {
    return Math.round(this.#offsetMs / 1000);
  }

  /**
   * A server refused a signature's date; `date` is the answer's own Date header. True when that shows another time than was
   * assumed so far: the same request is worth another try.
   */
  correct(date: string | undefined): boolean {
    const server = Date.parse(date ?? '');
    if (Number.isNaN(server) || Math.abs(server - this.now()) < tolerated * 1000) return false;
    this.#offsetMs = server - this.#localNow();
    return true;
  }
}
