export interface TokenBucketOptions {
  /** How much a second: bytes, or whatever else is counted. */
  readonly rate: number;
  /** How much may go at once after a pause. */
  readonly burst: number;
  /** Milliseconds, never going back. */
  readonly now: () => number;
}

/**
 * A limit of so much a second. Who takes is told how long to wait, and the balance may go below zero: so takers are
 * served in the order in which they came, whatever they take, and the mean rate is exact. Nothing runs while nobody takes.
 */
export class TokenBucket {
  readonly #options: TokenBucketOptions;
  #balance: number;
  #at: number;

  constructor(options: TokenBucketOptions) {
    if (!(options.rate > 0 && options.burst > 0)) {
      throw new RangeError(
        `a rate limit of ${options.rate} a second with bursts of ${options.burst}: both must be above 0`,
      );
    }
    this.#options = options;
    this.#balance = options.burst;
    this.#at = options.now();
  }

  /** Takes `amount` and returns the milliseconds to wait before it may go. */
  take(amount: number): number {
    const wait = this.wait(amount);
    this.#balance -= amount;
    return wait;
  }

  /** Milliseconds that `amount` would have to wait; takes nothing. */
  wait(amount: number): number {
    this.#refill();
    return Math.max(0, ((amount - this.#balance) / this.#options.rate) * 1000);
  }

  /** Gives back what was taken and did not go. */
  giveBack(amount: number): void {
    this.#refill();
    this.#balance = Math.min(this.#options.burst, this.#balance + amount);
  }

  #refill(): void {
    const { rate, burst, now } = this.#options;
    const at = now();
    this.#balance = Math.min(burst, this.#balance + ((at - this.#at) / 1000) * rate);
    this.#at = at;
  }
}
