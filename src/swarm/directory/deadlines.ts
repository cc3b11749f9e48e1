import type { Want } from './want.ts';

interface Entry {
  readonly want: Want;
  readonly at: number;
}

const smallestSweep = 1024;

/**
 * When grants lapse. All grants live equally long, so the order of adding is the order of lapsing: an event costs
 * constant time. Entries of grants that ended or were prolonged stay behind until they are popped or swept.
 */
export class Deadlines {
  #entries: Entry[] = [];
  #head = 0;
  #sweepAt = smallestSweep;

  /** Milliseconds of the shard's clock; undefined when nothing is under way. Early at times, never late. */
  get next(): number | undefined {
    return this.#entries[this.#head]?.at;
  }

  /** Call whenever `want.deadline` was set; the deadlines never go back in time. */
  add(want: Want): void {
    if (this.#entries.length - this.#head >= this.#sweepAt) this.#sweep();
    this.#entries.push({ want, at: want.deadline });
  }

  /** The grants whose time is over. Whoever asks must end or prolong each of them. */
  *lapsed(now: number): Generator<Want, void, undefined> {
    for (
      let entry = this.#entries[this.#head];
      entry !== undefined && entry.at <= now;
      entry = this.#entries[this.#head]
    ) {
      this.#head += 1;
      if (isLive(entry)) yield entry.want;
    }
    if (this.#head === this.#entries.length) this.#sweep();
  }

  /** Keeps the memory within twice of what is under way, however often grants come and go. */
  #sweep(): void {
    this.#entries = this.#entries.slice(this.#head).filter(isLive);
    this.#head = 0;
    this.#sweepAt = Math.max(smallestSweep, this.#entries.length * 2);
  }
}

function isLive({ want, at }: Entry): boolean {
  return want.grant !== 'none' && want.deadline === at;
}
