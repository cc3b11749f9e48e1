import type { Arena } from '../native/types.ts';
import { BuddyAllocator } from './buddy.ts';
import { closedError } from './errors.ts';
import { Evictable, S3Fifo } from './eviction.ts';
import { WaitingLine } from './waiting-line.ts';
import { cheapestWindow } from './window.ts';

/** What memory is wanted for. Writers are held back while too much is unwritten, readers are not. */
export type Purpose = 'write' | 'read';

/**
 * A run of arena blocks that holds one piece. It is held, and neither evicted nor reused, while it is pinned (being read
 * or filled) or dirty (not on the disk yet).
 */
export class Frame<Owner> extends Evictable {
  readonly at: number;
  readonly blocks: number;
  /** Exactly the piece's bytes. */
  readonly buffer: Buffer;
  readonly purpose: Purpose;
  /** Whose bytes they are, once they are published. */
  owner: Owner | undefined;
  stage: 'filling' | 'published' | 'detached' = 'filling';
  pins = 1;
  dirty = false;

  constructor(id: string, bytes: number, at: number, blocks: number, buffer: Buffer, purpose: Purpose) {
    super(id, bytes);
    this.at = at;
    this.blocks = blocks;
    this.buffer = buffer;
    this.purpose = purpose;
  }

  get held(): boolean {
    return this.pins > 0 || this.dirty;
  }
}

export interface MemoryTierOptions<Owner> {
  readonly arena: Arena;
  readonly blockSize: number;
  /** Bytes of the largest piece: a power-of-two multiple of the block size. */
  readonly largestPiece: number;
  /** The share of newcomers in the eviction order, and the seconds in which uses count as one: see `S3Fifo`. */
  readonly probation: number;
  readonly correlated: number;
  /** Bytes that may be filling or dirty; what is above it stays free for reads from the disk. */
  readonly writeLimit: number;
  /** The owner's frame is taken for another piece. Called in the middle of an allocation: must not call the tier. */
  readonly onEvict: (owner: Owner) => void;
  /** Seconds. */
  readonly now: () => number;
}

const idleMs = 30_000;

/**
 * The arena, divided among pieces. Memory is given in the order in which it was asked for: a large piece that waits is not
 * overtaken by small ones. Freed blocks are reused as they are; only when nothing was asked for during `idleMs` are the
 * free ones given back to the system, because taking them again costs a page fault per 4 KiB.
 */
export class MemoryTier<Owner> {
  readonly capacity: number;
  readonly #options: MemoryTierOptions<Owner>;
  readonly #buddy: BuddyAllocator;
  readonly #order: S3Fifo<Frame<Owner>>;
  /** The frame that has a block. */
  readonly #frames: (Frame<Owner> | undefined)[];
  readonly #line: WaitingLine<Purpose, Frame<Owner>>;
  #evictable = 0;
  #pinned = 0;
  #dirty = 0;
  /** Bytes of frames that writers fill, and of dirty ones. */
  #unwritten = 0;
  #evictions = 0;
  /** Blocks handed out since free memory was last given back. */
  readonly #touched: Uint8Array;
  #idleTimer: NodeJS.Timeout | undefined;
  #askedSinceTick = false;
  #closed = false;

  constructor(options: MemoryTierOptions<Owner>) {
    this.#options = options;
    const { arena, blockSize, largestPiece } = options;
    const blocks = Math.floor(arena.capacity / blockSize);
    this.capacity = blocks * blockSize;
    this.#buddy = new BuddyAllocator(blocks, largestPiece / blockSize);
    this.#order = new S3Fifo({ ...options, capacity: this.capacity }, (frame) => frame.held);
    this.#frames = new Array(blocks).fill(undefined);
    this.#touched = new Uint8Array(blocks);
    this.#line = new WaitingLine(['write', 'read'], (id, length, purpose) => this.#take(id, length, purpose));
  }

  get usage(): { used: number; pinned: number; dirty: number; evictions: number } {
    return {
      used: this.capacity - this.#buddy.free * this.#options.blockSize,
      pinned: this.#pinned,
      dirty: this.#dirty,
      evictions: this.#evictions,
    };
  }

  /** Memory for `length` bytes, pinned once. Waits for its turn; rejects with the signal's reason, or when the tier closes. */
  acquire(id: string, length: number, purpose: Purpose, signal?: AbortSignal): Promise<Frame<Owner>> {
    if (this.#closed) return Promise.reject(closedError());
    this.#askedSinceTick = true;
    return this.#line.wait(id, length, purpose, signal);
  }

  /** The frame's bytes are there: they are `owner`'s now, and may be evicted once they are not held. */
  publish(frame: Frame<Owner>, owner: Owner, dirty: boolean): void {
    this.#account(frame, -1);
    frame.owner = owner;
    frame.stage = 'published';
    frame.dirty = dirty;
    this.#account(frame, 1);
    this.#order.insert(frame, this.#options.now());
    this.#line.serve();
  }

  pin(frame: Frame<Owner>): void {
    if (frame.pins === 0) this.#account(frame, -1);
    frame.pins += 1;
    if (frame.pins === 1) this.#account(frame, 1);
  }

  unpin(frame: Frame<Owner>): void {
    if (frame.pins > 1) frame.pins -= 1;
    else {
      this.#account(frame, -1);
      frame.pins = 0;
      this.#account(frame, 1);
      this.#settle(frame);
    }
  }

  /** The frame has to go to the disk, or has got there (or will not). */
  setDirty(frame: Frame<Owner>, dirty: boolean): void {
    if (frame.dirty === dirty) return;
    this.#account(frame, -1);
    frame.dirty = dirty;
    this.#account(frame, 1);
    this.#settle(frame);
  }

  /** Counts a use of the frame. */
  touch(frame: Frame<Owner>): void {
    this.#order.touch(frame, this.#options.now());
  }

  /** Takes the frame from its owner, or ends its filling; its memory is free as soon as it is not held. */
  detach(frame: Frame<Owner>): void {
    if (frame.stage === 'detached') return;
    this.#account(frame, -1);
    this.#order.remove(frame);
    frame.owner = undefined;
    frame.stage = 'detached';
    this.#account(frame, 1);
    this.#settle(frame);
  }

  /** Rejects those who wait. The arena's memory goes when the last view of it is gone. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#idleTimer);
    this.#line.close(closedError());
    this.#options.arena.close();
  }

  /** Adds (or takes away) what the frame stands for in the sums. */
  #account(frame: Frame<Owner>, sign: 1 | -1): void {
    const bytes = sign * frame.bytes;
    if (frame.pins > 0) this.#pinned += bytes;
    if (frame.dirty) this.#dirty += bytes;
    if (frame.dirty || (frame.stage === 'filling' && frame.purpose === 'write')) this.#unwritten += bytes;
    if (frame.stage === 'published' && !frame.held) this.#evictable += bytes;
  }

  /** A frame may have become free or evictable. */
  #settle(frame: Frame<Owner>): void {
    if (frame.held) {
      this.#line.serve();
      return;
    }
    if (frame.stage !== 'published') this.#free(frame);
    this.#line.serve();
  }

  #free(frame: Frame<Owner>): void {
    this.#buddy.release(frame.at, frame.blocks);
    this.#frames.fill(undefined, frame.at, frame.at + frame.blocks);
    if (!this.#closed) this.#idleTimer ??= setInterval(() => this.#giveBackWhenIdle(), idleMs).unref();
  }

  /** A frame, if there is room for it or room can be made; the waiting line asks again when something was freed. */
  #take(id: string, length: number, purpose: Purpose): Frame<Owner> | 'not-now' | 'not-this-purpose' {
    const { arena, blockSize, writeLimit } = this.#options;
    const blocks = Math.ceil(length / blockSize);
    const bytes = blocks * blockSize;
    if (purpose === 'write' && this.#unwritten > 0 && this.#unwritten + bytes > writeLimit) return 'not-this-purpose';
    const at = this.#makeRoom(blocks);
    if (at === undefined) return 'not-now';
    this.#touched.fill(1, at, at + blocks);
    const frame = new Frame<Owner>(id, bytes, at, blocks, arena.view(at * blockSize, length), purpose);
    this.#frames.fill(frame, at, at + blocks);
    this.#account(frame, 1);
    return frame;
  }

  #makeRoom(blocks: number): number | undefined {
    const { blockSize } = this.#options;
    if (this.#buddy.free * blockSize + this.#evictable < blocks * blockSize) return undefined;
    for (;;) {
      const at = this.#buddy.allocate(blocks);
      if (at !== undefined) return at;
      // Twice the room and still no run: what is free lies scattered, and more evictions in order would waste the cache.
      const frame = this.#buddy.free < 2 * blocks ? this.#order.evict() : undefined;
      if (frame) this.#evict(frame);
      else break;
    }
    const window = cheapestWindow(this.#frames, blocks, (frame) => (frame.held ? undefined : this.#order.worth(frame)));
    for (const frame of window ?? []) this.#evict(frame);
    return this.#buddy.allocate(blocks);
  }

  #evict(frame: Frame<Owner>): void {
    const { owner } = frame;
    this.#evictions += 1;
    this.detach(frame);
    if (owner !== undefined) this.#options.onEvict(owner);
  }

  #giveBackWhenIdle(): void {
    if (this.#askedSinceTick) {
      this.#askedSinceTick = false;
      return;
    }
    clearInterval(this.#idleTimer);
    this.#idleTimer = undefined;
    const { arena, blockSize } = this.#options;
    for (const { at, count } of this.#buddy.freeRuns()) {
      if (!this.#touched.subarray(at, at + count).includes(1)) continue;
      arena.discard(at * blockSize, count * blockSize);
      this.#touched.fill(0, at, at + count);
    }
  }
}
