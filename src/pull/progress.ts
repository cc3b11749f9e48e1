import { untilAborted } from '../until-aborted.ts';

/** A counter that others can wait for. */
export class Progress {
  #at = 0;
  #ended = false;
  readonly #waiting: { readonly target: number; readonly resolve: () => void }[] = [];

  /** Moves on; never back. */
  advance(to: number): void {
    this.#at = Math.max(this.#at, to);
    this.#wake();
  }

  /** There will be no more progress: nobody waits any longer. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** Resolves when the counter is at `target` or beyond, or has ended. */
  async reach(target: number, signal: AbortSignal): Promise<void> {
    if (this.#ended || this.#at >= target) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ target, resolve });
    await untilAborted(promise, signal);
  }

  #wake(): void {
    for (let index = this.#waiting.length - 1; index >= 0; index -= 1) {
      const waiter = this.#waiting[index];
      if (waiter !== undefined && (this.#ended || this.#at >= waiter.target)) {
        this.#waiting.splice(index, 1);
        waiter.resolve();
      }
    }
  }
}
