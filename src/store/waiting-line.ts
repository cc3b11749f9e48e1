/** What a try to serve the first in line gave. */
type Served<Thing> = Thing | 'not-now' | 'not-this-purpose';

interface Waiter<Thing> {
  readonly id: string;
  readonly length: number;
  readonly ticket: number;
  readonly resolve: (thing: Thing) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Serves strictly in the order of arrival, except that a purpose whose own bound is reached does not hold up the others. `serve` is
 * called whenever something was freed: it goes on until the first in line can't be served, so no wake-up is lost.
 */
export class WaitingLine<Purpose extends string, Thing extends object> {
  readonly #lines = new Map<Purpose, Set<Waiter<Thing>>>();
  readonly #take: (id: string, length: number, purpose: Purpose) => Served<Thing>;
  #tickets = 0;
  #waiting = 0;
  #serving = false;

  constructor(purposes: readonly Purpose[], take: (id: string, length: number, purpose: Purpose) => Served<Thing>) {
    for (const purpose of purposes) this.#lines.set(purpose, new Set());
    this.#take = take;
  }

  /** Resolves when it is this one's turn and `take` gave something; rejects with the signal's reason. */
  wait(id: string, length: number, purpose: Purpose, signal?: AbortSignal): Promise<Thing> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const line = this.#lines.get(purpose);
      const onAbort = () => {
        line?.delete(waiter);
        this.#waiting -= 1;
        reject(signal?.reason);
        // It may have been the one that the others waited behind.
        this.serve();
      };
      const waiter: Waiter<Thing> = {
        id,
        length,
        ticket: this.#tickets++,
        resolve: (thing) => {
          signal?.removeEventListener('abort', onAbort);
          resolve(thing);
        },
        reject: (reason) => {
          signal?.removeEventListener('abort', onAbort);
          reject(reason);
        },
      };
      line?.add(waiter);
      this.#waiting += 1;
      signal?.addEventListener('abort', onAbort, { once: true });
      this.serve();
    });
  }

  /** Serves as many as can be served now. */
  serve(): void {
    // `take` may free something on its way (evictions) and so come back here: the loop below sees it anyway.
    if (this.#serving || this.#waiting === 0) return;
    this.#serving = true;
    try {
      const blocked = new Set<Purpose>();
      for (;;) {
        const first = this.#first(blocked);
        if (!first) return;
        const [purpose, waiter] = first;
        const thing = this.#take(waiter.id, waiter.length, purpose);
        if (thing === 'not-now') return;
        if (thing === 'not-this-purpose') blocked.add(purpose);
        else {
          this.#lines.get(purpose)?.delete(waiter);
          this.#waiting -= 1;
          waiter.resolve(thing);
        }
      }
    } finally {
      this.#serving = false;
    }
  }

  /** Rejects everyone. */
  close(reason: unknown): void {
    for (const line of this.#lines.values()) {
      for (const waiter of line) waiter.reject(reason);
      line.clear();
    }
    this.#waiting = 0;
  }

  #first(blocked: ReadonlySet<Purpose>): readonly [Purpose, Waiter<Thing>] | undefined {
    let first: readonly [Purpose, Waiter<Thing>] | undefined;
    for (const [purpose, line] of this.#lines) {
      if (blocked.has(purpose)) continue;
      const [waiter] = line;
      if (waiter && (!first || waiter.ticket < first[1].ticket)) first = [purpose, waiter];
    }
    return first;
  }
}
