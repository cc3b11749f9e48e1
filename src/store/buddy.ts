/** A run of `count` blocks from block `at` on. */
export interface Run {
  readonly at: number;
  readonly count: number;
}

const none = -1;

/**
 * Hands out contiguous runs of blocks: a buddy allocator that gives the unused tail of the rounded-up run back at once,
 * so a run of 5 blocks costs 5, not 8. Runs are at most `largestRun` blocks (a power of two) and never cross a multiple of it,
 * which bounds fragmentation: whoever empties one aligned window can place any run in it. Pure bookkeeping, O(log largestRun) a
 * call, nothing allocated on the JS heap after construction.
 */
export class BuddyAllocator {
  readonly count: number;
  readonly largestRun: number;
  readonly #topOrder: number;
  /** Doubly linked lists of free chunks, one per order (a chunk of order k has 2^k blocks), linked by first block. */
  readonly #heads: Int32Array;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  /** The order of the free chunk that begins at a block; `none` where no free chunk begins. */
  readonly #orderAt: Int8Array;
  #free = 0;

  /** `used`: runs that are taken from the start, in any order. Throws when they overlap or leave the range. */
  constructor(count: number, largestRun: number, used: Iterable<Run> = []) {
    this.count = count;
    this.largestRun = largestRun;
    this.#topOrder = orderOf(largestRun);
    this.#heads = new Int32Array(this.#topOrder + 1).fill(none);
    this.#next = new Int32Array(count).fill(none);
    this.#previous = new Int32Array(count).fill(none);
    this.#orderAt = new Int8Array(count).fill(none);
    let end = 0;
    for (const run of [...used].sort((a, b) => a.at - b.at)) {
      if (run.at < end) throw new RangeError(`the run at block ${run.at} overlaps another`);
      this.#releaseRange(end, run.at - end);
      end = run.at + run.count;
    }
    if (end > count) throw new RangeError(`a run ends at block ${end} of ${count}`);
    this.#releaseRange(end, count - end);
  }

  /** Free blocks. */
  get free(): number {
    return this.#free;
  }

  /** The first block of a free run of `count` blocks, now taken; undefined where no run is long enough. */
  allocate(count: number): number | undefined {
    const order = orderOf(count);
    let from = order;
    while (from <= this.#topOrder && this.#heads[from] === none) from += 1;
    if (from > this.#topOrder) return undefined;
    const at = this.#heads[from] ?? none;
    this.#unlink(at, from);
    this.#free -= 2 ** from;
    this.#releaseRange(at + count, 2 ** from - count);
    return at;
  }

  /** Gives a run back. Throws where it begins in a chunk that is free already: a run released twice. */
  release(at: number, count: number): void {
    if (this.#orderAt[at] !== none) throw new RangeError(`block ${at} is free already`);
    this.#releaseRange(at, count);
  }

  /** The free chunks, as they stand. */
  *freeRuns(): Generator<Run> {
    for (let at = 0; at < this.count; at += 1) {
      const order = this.#orderAt[at] ?? none;
      if (order !== none) yield { at, count: 2 ** order };
    }
  }

  /** Cuts the range into the largest aligned chunks that fit, and frees each. */
  #releaseRange(at: number, count: number): void {
    let begin = at;
    const end = at + count;
    while (begin < end) {
      let order = 0;
      while (order < this.#topOrder && begin % 2 ** (order + 1) === 0 && begin + 2 ** (order + 1) <= end) order += 1;
      this.#releaseChunk(begin, order);
      begin += 2 ** order;
    }
    this.#free += count;
  }

  /** Frees one aligned chunk and merges it with its buddy as long as the buddy is free too. */
  #releaseChunk(start: number, startOrder: number): void {
    let at = start;
    let order = startOrder;
    while (order < this.#topOrder) {
      const buddy = at ^ (2 ** order);
      if (buddy >= this.count || this.#orderAt[buddy] !== order) break;
      this.#unlink(buddy, order);
      at = Math.min(at, buddy);
      order += 1;
    }
    const head = this.#heads[order] ?? none;
    this.#orderAt[at] = order;
    this.#next[at] = head;
    this.#previous[at] = none;
    if (head !== none) this.#previous[head] = at;
    this.#heads[order] = at;
  }

  #unlink(at: number, order: number): void {
    const next = this.#next[at] ?? none;
    const previous = this.#previous[at] ?? none;
    if (next !== none) this.#previous[next] = previous;
    if (previous === none) this.#heads[order] = next;
    else this.#next[previous] = next;
    this.#orderAt[at] = none;
  }
}

/** The smallest k with 2^k >= count. */
function orderOf(count: number): number {
  return Math.ceil(Math.log2(count));
}
