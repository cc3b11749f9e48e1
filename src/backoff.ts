export interface BackoffOptions {
  /** Milliseconds after the first failure; doubles with each one in a row. */
  readonly firstMs: number;
  /** Milliseconds that no wait exceeds. */
  readonly longestMs: number;
  /** 0 <= random < 1. */
  readonly random: () => number;
}

/** How long to wait after each failure in a row. Pure but for its randomness. */
export class Backoff {
  readonly #options: BackoffOptions;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** Failures since the last success. */
  get failures(): number {
    return this.#failures;
  }

  /** Another failure: milliseconds until the next try. */
  failed(): number {
    const { firstMs, longestMs, random } = this.#options;
    const waitMs = Math.min(longestMs, firstMs * 2 ** this.#failures);
    this.#failures += 1;
    // Half fixed, half by chance: nodes that failed together shall not come back together.
    return waitMs * (0.5 + random() / 2);
  }

  succeeded(): void {
    this.#failures = 0;
  }
}
