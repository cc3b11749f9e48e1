const firstWaitMs = 1_000;
const longestWaitMs = 60_000;
/** Something that fails again sooner is the same trouble. */
const calmMs = 2 * longestWaitMs;

/** How long to wait before something that failed is tried again, and whether its failure is news. Pure; time is passed in. */
export class Backoff {
  #waitMs = firstWaitMs;
  #failedAt = Number.NEGATIVE_INFINITY;

  fail(nowMs: number): { readonly waitMs: number; readonly isNews: boolean } {
    const isNews = nowMs - this.#failedAt > calmMs;
    if (isNews) this.#waitMs = firstWaitMs;
    const waitMs = this.#waitMs;
    this.#waitMs = Math.min(longestWaitMs, waitMs * 2);
    this.#failedAt = nowMs;
    return { waitMs, isNews };
  }
}
