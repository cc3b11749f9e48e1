/** How values are spread, as a Prometheus histogram tells it. */
export interface DistributionSnapshot {
  /** Upper bounds of the buckets, ascending; one more bucket, without a bound, comes after them. */
  readonly bounds: readonly number[];
  /** Values in each bucket, one more than there are bounds. Not cumulative. */
  readonly counts: readonly number[];
  readonly sum: number;
}

/** Counts values into buckets: a few comparisons a value, and nothing is kept of it. */
export class Distribution {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;

  /** `bounds`: ascending; a value that equals one belongs below it. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Array<number>(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    let bucket = 0;
    while (bucket < this.#bounds.length && value > (this.#bounds[bucket] ?? 0)) bucket += 1;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += value;
  }

  snapshot(): DistributionSnapshot {
    return { bounds: this.#bounds, counts: [...this.#counts], sum: this.#sum };
  }
}
