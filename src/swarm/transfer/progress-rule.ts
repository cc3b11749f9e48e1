/** Looks per window: a transfer that stops is noticed after one window and at most a quarter more. */
export const looksPerWindow = 4;

/**
 * When a transfer is given up: in each window (`transferTimeout`) it has to bring at least `least` bytes. Silence is the
 * plain case of it; a peer that sends a byte now and then to keep a slot and memory busy is the other. Pure: looked at
 * `looksPerWindow` times per window, with the bytes that have come so far.
 */
export class ProgressRule {
  readonly #least: number;
  /** Totals at the last looks, the oldest first. */
  readonly #totals: number[] = [0];

  constructor(least: number) {
    this.#least = Math.max(1, least);
  }

  /** Whether the transfer may go on. */
  look(total: number): boolean {
    this.#totals.push(total);
    if (this.#totals.length <= looksPerWindow) return true;
    return total - (this.#totals.shift() ?? 0) >= this.#least;
  }
}
