import { BuddyAllocator, type Run } from './buddy.ts';
import { Evictable, S3Fifo, type S3FifoOptions } from './eviction.ts';
import { cheapestWindow } from './window.ts';

/** A run of blocks in use. */
export class Placed extends Evictable implements Run {
  readonly at: number;
  readonly count: number;

  constructor(id: string, run: Run, blockSize: number) {
    super(id, run.count * blockSize);
    this.at = run.at;
    this.count = run.count;
  }
}

export interface SpaceOptions<Item> extends S3FifoOptions {
  readonly blockSize: number;
  /** Bytes of the longest run: a power-of-two multiple of the block size. */
  readonly largestPiece: number;
  /** What must neither be evicted nor overwritten now. */
  readonly isHeld: (item: Item) => boolean;
  /** The item was chosen to make room: its owner must call `release` before it returns. */
  readonly evict: (item: Item) => void;
  /** What is there from the start. */
  readonly used?: Iterable<Run>;
}

/**
 * A tier's blocks: which are free, who has the others, and who leaves first when room is needed. Pieces are contiguous in
 * both tiers: memory has to be, and on the disk it makes a piece one request and one number in the index.
 */
export class Space<Item extends Placed> {
  /** Bytes. */
  readonly capacity: number;
  readonly order: S3Fifo<Item>;
  readonly #options: SpaceOptions<Item>;
  readonly #buddy: BuddyAllocator;
  readonly #holders: (Item | undefined)[];

  constructor(options: SpaceOptions<Item>) {
    const { blockSize, largestPiece, used } = options;
    const blocks = Math.floor(options.capacity / blockSize);
    this.#options = options;
    this.capacity = blocks * blockSize;
    this.order = new S3Fifo(options, options.isHeld);
    this.#buddy = new BuddyAllocator(blocks, largestPiece / blockSize, used);
    this.#holders = new Array(blocks).fill(undefined);
  }

  /** Bytes. */
  get free(): number {
    return this.#buddy.free * this.#options.blockSize;
  }

  freeRuns(): Iterable<Run> {
    return this.#buddy.freeRuns();
  }

  /** Whole blocks that hold `length` bytes. */
  blocksFor(length: number): number {
    return Math.ceil(length / this.#options.blockSize);
  }

  /**
   * A run of `count` blocks, taken; others are evicted where need be. Undefined where too much is held. `hold` must follow.
   */
  allocate(count: number): Run | undefined {
    for (;;) {
      const at = this.#buddy.allocate(count);
      if (at !== undefined) return { at, count };
      // Twice the room and still no run: what is free lies scattered, and more evictions in order would waste the cache.
      const item = this.#buddy.free < 2 * count ? this.order.evict() : undefined;
      if (!item) break;
      this.#options.evict(item);
    }
    const window = cheapestWindow(this.#holders, count, (item) =>
      this.#options.isHeld(item) ? undefined : this.order.worth(item),
    );
    for (const item of window ?? []) this.#options.evict(item);
    const at = this.#buddy.allocate(count);
    return at === undefined ? undefined : { at, count };
  }

  /** Evicts until `bytes` are free, or nothing is left that may leave. */
  reclaim(bytes: number): void {
    while (this.free < bytes) {
      const item = this.order.evict();
      if (!item) return;
      this.#options.evict(item);
    }
  }

  /** `item` has the blocks of its run, which `allocate` gave (or `used` named). */
  hold(item: Item): void {
    this.#holders.fill(item, item.at, item.at + item.count);
  }

  /** The item's blocks are free. */
  release(item: Item): void {
    this.order.remove(item);
    this.#holders.fill(undefined, item.at, item.at + item.count);
    this.#buddy.release(item.at, item.count);
  }
}
