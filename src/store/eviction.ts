/**
 * What the eviction order knows of a cached thing. Its owner extends it, so that a cached piece costs one object, and
 * touches none of the fields below `bytes`.
 */
export class Evictable {
  /** Names the thing across its comings and goings. */
  readonly id: string;
  readonly bytes: number;
  queue: Queue | undefined;
  newer: Evictable | undefined;
  older: Evictable | undefined;
  /** Uses that count, at most `mostUses`. */
  uses = 0;
  /** When it last came or was used so that it counted, seconds. */
  usedAt = 0;

  constructor(id: string, bytes: number) {
    this.id = id;
    this.bytes = bytes;
  }
}

/** A doubly linked queue: in at the newest end, out at the oldest. */
export class Queue {
  newest: Evictable | undefined;
  oldest: Evictable | undefined;
  bytes = 0;
  length = 0;

  push(item: Evictable): void {
    item.queue = this;
    item.newer = undefined;
    item.older = this.newest;
    if (this.newest) this.newest.newer = item;
    else this.oldest = item;
    this.newest = item;
    this.bytes += item.bytes;
    this.length += 1;
  }

  remove(item: Evictable): void {
    if (item.newer) item.newer.older = item.older;
    else this.newest = item.older;
    if (item.older) item.older.newer = item.newer;
    else this.oldest = item.newer;
    item.queue = undefined;
    item.newer = undefined;
    item.older = undefined;
    this.bytes -= item.bytes;
    this.length -= 1;
  }
}

const mostUses = 3;

export interface S3FifoOptions {
  /** Bytes of the tier whose content is ordered here. */
  readonly capacity: number;
  /** The share of `capacity` that newcomers may fill before they are judged, 0 to 1. */
  readonly probation: number;
  /**
   * Seconds in which the uses of one thing count as one, its coming included: one pull reads each piece several times (the
   * runtime, then the peers), and that is no sign that another pull will.
   */
  readonly correlated: number;
}

/**
 * S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023), weighted by bytes. Newcomers wait in
 * a probation queue; those used again move to the main queue, the others leave and are remembered as ghosts: a ghost that
 * returns goes straight to the main queue. One big image that is pulled once therefore never drives out the base layers that
 * every pull needs. Anything that came within the last `probation` share of bytes is still here: what was read ahead is
 * not lost before its reader comes. docs/store.md has the measured comparison. Pure; time is passed in.
 */
export class S3Fifo<Item extends Evictable> {
  readonly #probation = new Queue();
  readonly #main = new Queue();
  readonly #probationBytes: number;
  readonly #correlated: number;
  readonly #isHeld: (item: Item) => boolean;
  /** Bytes by id, oldest first; as many bytes as the main queue may have. */
  readonly #ghosts = new Map<string, number>();
  readonly #mostGhostBytes: number;
  #ghostBytes = 0;

  /** `isHeld`: what must not leave now (being read or written). */
  constructor(options: S3FifoOptions, isHeld: (item: Item) => boolean) {
    this.#probationBytes = options.capacity * options.probation;
    this.#mostGhostBytes = options.capacity - this.#probationBytes;
    this.#correlated = options.correlated;
    this.#isHeld = isHeld;
  }

  /** `proven`: known to have been in the main queue (read back from an index). */
  insert(item: Item, seconds: number, proven = false): void {
    const ghost = this.#ghosts.get(item.id);
    if (ghost !== undefined) this.#forget(item.id, ghost);
    item.uses = 0;
    item.usedAt = seconds;
    (proven || ghost !== undefined ? this.#main : this.#probation).push(item);
  }

  /** The item was used. */
  touch(item: Item, seconds: number): void {
    if (seconds - item.usedAt < this.#correlated) return;
    item.usedAt = seconds;
    item.uses = Math.min(mostUses, item.uses + 1);
  }

  /** Takes the item out of the order, for another reason than eviction. */
  remove(item: Item): void {
    item.queue?.remove(item);
  }

  /** Takes out what is worth least and not held; undefined where everything is held. */
  evict(): Item | undefined {
    return this.#probation.bytes > this.#probationBytes
      ? (this.#evictNewcomer() ?? this.#evictProven())
      : (this.#evictProven() ?? this.#evictNewcomer());
  }

  #evictNewcomer(): Item | undefined {
    for (let left = this.#probation.length; left > 0; left -= 1) {
      const item = this.#takeOldest(this.#probation);
      if (!item) break;
      if (this.#isHeld(item)) this.#probation.push(item);
      else if (item.uses === 0) {
        this.#remember(item);
        return item;
      } else {
        item.uses = 0;
        this.#main.push(item);
      }
    }
    return undefined;
  }

  #evictProven(): Item | undefined {
    // Each item can be passed over once for each of its uses.
    for (let left = this.#main.length * (mostUses + 1); left > 0; left -= 1) {
      const item = this.#takeOldest(this.#main);
      if (!item) break;
      if (!this.#isHeld(item)) {
        if (item.uses === 0) return item;
        item.uses -= 1;
      }
      this.#main.push(item);
    }
    return undefined;
  }

  #takeOldest(queue: Queue): Item | undefined {
    const item = queue.oldest as Item | undefined;
    if (item) queue.remove(item);
    return item;
  }

  /** What losing the item would cost, in bytes: more for one that was used again. For evictions out of order. */
  worth(item: Item): number {
    return item.bytes * (1 + item.uses + (this.isProven(item) ? 1 : 0));
  }

  /** Whether the item is in the main queue. */
  isProven(item: Item): boolean {
    return item.queue === this.#main;
  }

  /** How many items there are. */
  get length(): number {
    return this.#probation.length + this.#main.length;
  }

  /** Everything, the probation queue first, each queue from its oldest on: inserting in this order restores the order. */
  *items(): Generator<Item> {
    for (const queue of [this.#probation, this.#main]) {
      for (let item = queue.oldest; item; item = item.newer) yield item as Item;
    }
  }

  #remember(item: Item): void {
    this.#ghosts.set(item.id, item.bytes);
    this.#ghostBytes += item.bytes;
    for (const [id, bytes] of this.#ghosts) {
      if (this.#ghostBytes <= this.#mostGhostBytes) break;
      this.#forget(id, bytes);
    }
  }

  #forget(id: string, bytes: number): void {
    this.#ghosts.delete(id);
    this.#ghostBytes -= bytes;
  }
}
