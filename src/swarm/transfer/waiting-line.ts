interface Waiting {
  readonly admit: () => void;
  readonly refuse: (reason: unknown) => void;
}

/** At most `limit` at once; the others wait in the order in which they came. Whoever is aborted leaves the line. */
export class WaitingLine {
  readonly #limit: number;
  readonly #waiting = new Set<Waiting>();
  #inside = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get inside(): number {
    return this.#inside;
  }

  /** Resolves when there is room; then `leave` must be called once. Rejects with the signal's reason. */
  enter(signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#inside < this.#limit) {
      this.#inside += 1;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#waiting.delete(waiting);
        reject(signal?.reason);
      };
      const leaveLine = (): void => {
        this.#waiting.delete(waiting);
        signal?.removeEventListener('abort', abort);
      };
      const waiting: Waiting = {
        admit: () => {
          leaveLine();
          resolve();
        },
        refuse: (reason) => {
          leaveLine();
          reject(reason);
        },
      };
      this.#waiting.add(waiting);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  leave(): void {
    const [next] = this.#waiting;
    // The place passes on: nobody who comes now can take it.
    if (next === undefined) this.#inside -= 1;
    else next.admit();
  }

  /** Sends away everybody who waits. */
  dismiss(reason: unknown): void {
    for (const waiting of [...this.#waiting]) waiting.refuse(reason);
  }
}
