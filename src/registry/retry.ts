import type { Clock } from '../clock.ts';
import { TransientError } from './failure.ts';

export interface RetryLimits {
  /** Tries in a row that bring nothing, the first one included. */
  readonly fruitless: number;
  /** Tries in all. A transfer that brings a byte at a time must end too. */
  readonly total: number;
  /** Milliseconds of waiting in all, between the tries. A longer `Retry-After` ends them. */
  readonly waitMs: number;
  /** Milliseconds without progress after which no new try starts. */
  readonly patienceMs: number;
  /** Milliseconds before the first repetition; doubles with each fruitless try. */
  readonly firstWaitMs: number;
}

/** Counts the tries of one request and says how long to wait before the next. Pure but for its clock. */
export class RetryBudget {
  readonly #limits: RetryLimits;
  readonly #clock: Pick<Clock, 'now' | 'random'>;
  #fruitless = 0;
  #total = 0;
  #waitedMs = 0;
  #lastProgress: number;

  constructor(limits: RetryLimits, clock: Pick<Clock, 'now' | 'random'>) {
    this.#limits = limits;
    this.#clock = clock;
    this.#lastProgress = clock.now();
  }

  /** Bytes came: the next failure counts as the first in a row. */
  progressed(): void {
    this.#fruitless = 0;
    this.#lastProgress = this.#clock.now();
  }

  /** A try failed. Milliseconds until the next one, or undefined when it was the last. */
  failed(retryAfterMs: number | undefined): number | undefined {
    const { fruitless, total, waitMs, patienceMs, firstWaitMs } = this.#limits;
    // Half fixed, half by chance: nodes that failed together shall not come back together.
    const backoffMs = firstWaitMs * 2 ** this.#fruitless * (0.5 + this.#clock.random() / 2);
    const nextWaitMs = Math.max(retryAfterMs ?? 0, backoffMs);
    this.#fruitless += 1;
    this.#total += 1;
    this.#waitedMs += nextWaitMs;
    if (this.#fruitless >= fruitless || this.#total >= total || this.#waitedMs > waitMs) return undefined;
    if (this.#clock.now() - this.#lastProgress >= patienceMs) return undefined;
    return nextWaitMs;
  }
}

/**
 * Repeats `attempt` while it fails with a `TransientError` and the budget lasts; rejects with its last error.
 * `onRetry` hears of every repetition.
 */
export async function retrying<T>(
  attempt: () => Promise<T>,
  budget: RetryBudget,
  clock: Pick<Clock, 'sleep'>,
  signal: AbortSignal | undefined,
  onRetry: (error: TransientError, waitMs: number) => void,
): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof TransientError)) throw error;
      const waitMs = budget.failed(error.retryAfterMs);
      if (waitMs === undefined) throw error;
      onRetry(error, waitMs);
      await clock.sleep(waitMs, signal);
    }
  }
}
