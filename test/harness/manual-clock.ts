import type { Clock } from '../../src/clock.ts';

/** A clock that stands still until it is told, and goes on at once to whatever somebody sleeps for. */
export class ManualClock implements Clock {
  #now = 0;
  readonly #sleepers = new Set<{ readonly until: number; readonly wake: () => void }>();
  readonly #watchers = new Set<() => void>();
  /** How long everybody has slept so far, one after the other. */
  readonly sleeps: number[] = [];
  /** What `random` gives. */
  chance = 0;

  now = (): number => this.#now;
  random = (): number => this.chance;

  sleep = async (milliseconds: number, signal: AbortSignal | undefined): Promise<void> => {
    signal?.throwIfAborted();
    this.sleeps.push(milliseconds);
    await new Promise<void>((resolve, reject) => {
      const sleeper = {
        until: this.#now + milliseconds,
        wake: () => {
          this.#sleepers.delete(sleeper);
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      const onAbort = () => {
        this.#sleepers.delete(sleeper);
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#sleepers.add(sleeper);
      for (const wake of this.#watchers) wake();
    });
  };

  /** Goes on without waking anybody. */
  pass(milliseconds: number): void {
    this.#now += milliseconds;
  }

  /** Resolves once somebody sleeps. */
  async asleep(): Promise<void> {
    while (this.#sleepers.size === 0) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#watchers.delete(wake);
          resolve();
        };
        this.#watchers.add(wake);
      });
    }
  }

  /** Waits for a sleeper, goes on to where it wants to be woken, and wakes it. */
  async next(): Promise<void> {
    await this.asleep();
    const [first] = [...this.#sleepers].toSorted((a, b) => a.until - b.until);
    if (first === undefined) return;
    this.#now = Math.max(this.#now, first.until);
    first.wake();
  }
}
