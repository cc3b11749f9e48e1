import type { PinnedPiece } from './types.ts';

interface Waiter {
  readonly resolve: (piece: PinnedPiece | undefined) => void;
  readonly reject: (reason: unknown) => void;
}

/** One read of a piece from the disk and all who wait for it. */
export class Load {
  readonly #waiters = new Set<Waiter>();
  readonly #abandoned = new AbortController();

  /** Aborted when nobody waits any more. */
  get abandoned(): AbortSignal {
    return this.#abandoned.signal;
  }

  /** Resolves with a pin of its own. Rejects with the signal's reason; the others go on waiting. */
  wait(signal?: AbortSignal): Promise<PinnedPiece | undefined> {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiters.delete(waiter);
        reject(signal?.reason);
        if (this.#waiters.size === 0) this.#abandoned.abort();
      };
      const settle = () => signal?.removeEventListener('abort', onAbort);
      const waiter: Waiter = {
        resolve: (piece) => {
          settle();
          resolve(piece);
        },
        reject: (reason) => {
          settle();
          reject(reason);
        },
      };
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** `pin` makes a pin for each who waits. */
  succeed(pin: () => PinnedPiece | undefined): void {
    for (const waiter of this.#waiters) waiter.resolve(pin());
  }

  fail(reason: unknown): void {
    for (const waiter of this.#waiters) waiter.reject(reason);
  }
}
