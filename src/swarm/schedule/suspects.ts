/** First pause of a peer that failed; doubled with every failure in a row. Milliseconds. */
const firstPause = 2_000;
const longestPause = 60_000;
/** Peers remembered at once. */
const remembered = 1_024;

interface Suspicion {
  failures: number;
  until: number;
}

/** Peers that failed this agent. One is left alone for a while, then tried again: that is the probe. */
export class Suspects {
  readonly #suspicions = new Map<string, Suspicion>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  has(peer: string): boolean {
    if (this.#suspicions.size === 0) return false;
    return (this.#suspicions.get(peer)?.until ?? 0) > this.#now();
  }

  failed(peer: string): void {
    const failures = (this.#suspicions.get(peer)?.failures ?? 0) + 1;
    this.#suspicions.delete(peer);
    if (this.#suspicions.size >= remembered) {
      for (const oldest of this.#suspicions.keys()) {
        this.#suspicions.delete(oldest);
        break;
      }
    }
    const pause = Math.min(longestPause, firstPause * 2 ** (failures - 1));
    this.#suspicions.set(peer, { failures, until: this.#now() + pause });
  }

  succeeded(peer: string): void {
    if (this.#suspicions.size > 0) this.#suspicions.delete(peer);
  }
}
