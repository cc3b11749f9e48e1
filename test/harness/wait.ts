import { setTimeout as delay } from 'node:timers/promises';

export interface WaitOptions {
  /** What is awaited, for the error. */
  readonly what: string;
  readonly timeoutMs?: number;
  readonly intervalMs?: number;
}

/**
 * Asks `probe` again and again until it gives a value other than undefined or false. For outside processes only: whatever
 * has an event is awaited by it. What the probe throws is taken as "not yet" and told when the time is up.
 */
export async function waitFor<T>(
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  options: WaitOptions,
): Promise<T> {
  const timeoutMs = options.timeoutMs ?? 15_000;
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      if (error instanceof GaveUp) throw error;
      last = error;
    }
    if (performance.now() >= deadline) {
      const because = last instanceof Error ? `: ${last.message}` : '';
      throw new Error(`waited ${timeoutMs} ms in vain for ${options.what}${because}`, { cause: last });
    }
    await delay(options.intervalMs ?? 25);
  }
}

/** Thrown by a probe that knows that waiting on is useless. */
export class GaveUp extends Error {}
