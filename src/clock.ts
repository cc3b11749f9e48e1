import { setTimeout as sleep } from 'node:timers/promises';

/** Time and chance, injected so that tests decide over both. */
export interface Clock {
  /** Monotonic milliseconds. */
  now(): number;
  /** Rejects with the signal's reason when it is aborted. */
  sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void>;
  /** 0 <= random < 1. */
  random(): number;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  sleep: async (milliseconds, signal) => {
    try {
      await sleep(milliseconds, undefined, signal && { signal });
    } catch (error) {
      // timers/promises wraps the reason in an AbortError of its own.
      signal?.throwIfAborted();
      throw error;
    }
  },
  random: Math.random,
};
