export interface TokenBucketOptions {
  /** Bytes per second. */
  readonly rate: number;
  /** Bytes that may go at once after a pause. */
  readonly burst: number;
  /** Milliseconds, never going back. */
  readonly now: () => number;
}

/**
 * A limit in bytes per second. Who takes is told how long to wait, and the balance may go below zero: so takers are
 * served in the order in which they came, whatever they take, and the mean rate is exact. Nothing runs while nobody takes.
 */
export class TokenBucket {
  readonly #options: TokenBucketOptions;
  #balance: number;
  #at: number;

  constructor(options: TokenBucketOptions) {
    if (!(options.rate > 0 && options.burst > 0)) {
      throw new RangeError(
        `a rate limit of ${options.rate} bytes/s with bursts of ${options.burst}: both must be above 0`,
      );
    }
    this.#options = options;
    this.#balance = options.burst;
    this.#at = options.now();
  }

  /** Takes `bytes` and returns the milliseconds to wait before they may go. */
  take(bytes: number): number {
    this.#refill();
    this.#balance -= bytes;
    return this.#balance >= 0 ? 0 : (-this.#balance / this.#options.rate) * 1000;
  }

  /** Gives back bytes that were taken and did not go. */
  giveBack(bytes: number): void {
    this.#refill();
    this.#balance = Math.min(this.#options.burst, this.#balance + bytes);
  }

  #refill(): void {
    const { rate, burst, now } = this.#options;
    const at = now();
    this.#balance = Math.min(burst, this.#balance + ((at - this.#at) / 1000) * rate);
    this.#at = at;
  }
}
