export interface DownloadLimitOptions {
  /** Downloads at once to begin with, and at most. */
  readonly most: number;
  /** Milliseconds, never going back. */
  readonly now: () => number;
}

/**
 * Bytes a millisecond that each download should have: a piece of 256 KiB then comes within a second. Eight downloads have it over a link
 * of 17 Mbit/s. With four times as much, nodes of 50 Mbit/s had it seldom: what they took less for a while they lacked at the end.
 */
const wantedRate = (256 * 1024) / 1000;
/** Fewer downloads that bring less than so much of what more of them brought were not what the link could do. */
const keptShare = 0.85;
/** Rounds that a number is kept for after fewer had brought less. */
const keptRounds = 16;

/**
 * How many pieces a node takes at once. Over a slow link few: eight pieces of 256 KiB over 10 Mbit/s come after two seconds, all at the
 * same time, and so long nobody can have them from this node, nor its peers use the uploads. Measured in rounds of as many pieces as
 * there are downloads, while all of these are in use. Where they are slow their number is halved; if that cost throughput, it was the
 * peers who were slow, and the number is what it was before.
 */
export class DownloadLimit {
  readonly #most: number;
  readonly #now: () => number;
  #count: number;
  #roundStart: number;
  #bytes = 0;
  #pieces = 0;
  #before: { readonly count: number; readonly rate: number } | undefined;
  #kept = 0;

  constructor({ most, now }: DownloadLimitOptions) {
    this.#most = most;
    this.#now = now;
    this.#count = most;
    this.#roundStart = now();
  }

  get count(): number {
    return this.#count;
  }

  /** What a node that does `most` at once has of something else, at the present number: at least one, if it has any. */
  shareOf(amount: number): number {
    return amount === 0 ? 0 : Math.max(1, Math.round((amount * this.#count) / this.#most));
  }

  /** A piece has come. `full`: all downloads were in use until then. */
  arrived(bytes: number, full: boolean): void {
    if (!full) {
      this.#begin();
      return;
    }
    this.#bytes += bytes;
    this.#pieces += 1;
    if (this.#pieces < Math.max(2, this.#count)) return;
    const duration = this.#now() - this.#roundStart;
    if (duration > 0) this.#adapt(this.#bytes / duration);
    this.#begin();
  }

  #begin(): void {
    this.#roundStart = this.#now();
    this.#bytes = 0;
    this.#pieces = 0;
  }

  #adapt(rate: number): void {
    const count = this.#count;
    const before = this.#before;
    this.#before = undefined;
    if (this.#kept > 0) this.#kept -= 1;
    if (rate / count >= wantedRate) {
      this.#count = Math.min(this.#most, count + 1);
    } else if (before !== undefined && rate < before.rate * keptShare) {
      this.#count = before.count;
      this.#kept = keptRounds;
    } else if (this.#kept === 0 && count > 1) {
      this.#before = { count, rate };
      this.#count = Math.floor(count / 2);
    }
  }
}
