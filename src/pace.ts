/** How often something may happen: some at once, then one in each interval. Times are milliseconds of any clock. Pure. */
export class Pace {
  readonly #intervalMs: number;
  readonly #burst: number;
  /** When as many have passed as the rate allows (GCRA: the theoretical arrival time). */
  #paidUntil = Number.NEGATIVE_INFINITY;

  constructor(options: { readonly intervalMs: number; readonly burst: number }) {
    this.#intervalMs = options.intervalMs;
    this.#burst = options.burst;
  }

  /** Milliseconds until the next may happen. */
  wait(now: number): number {
    return Math.max(0, this.#paidUntil - (this.#burst - 1) * this.#intervalMs - now);
  }

  /** One happens. */
  pass(now: number): void {
    this.#paidUntil = Math.max(this.#paidUntil, now) + this.#intervalMs;
  }
}
