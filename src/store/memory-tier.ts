import type { Arena } from '../native/types.ts';
import type { Run } from './buddy.ts';
import { closedError } from './errors.ts';
import { Placed, Space } from './space.ts';
import { WaitingLine } from './waiting-line.ts';

/** What memory is wanted for. Writers are held back while too much is unwritten, readers are not. */
export type Purpose = 'write' | 'read';

/**
 * A run of arena blocks that holds one piece. It is held, and neither evicted nor reused, while it is pinned (being read
 * or filled) or dirty (not on the disk yet).
 */
export class Frame<Owner> extends Placed {
  /** Exactly the piece's bytes. */
  readonly buffer: Buffer;
  readonly purpose: Purpose;
  /** Whose bytes they are, once they are published. */
  owner: Owner | undefined;
  stage: 'filling' | 'published' | 'detached' = 'filling';
  pins = 1;
  dirty = false;

  constructor(id: string, run: Run, blockSize: number, buffer: Buffer, purpose: Purpose) {
    super(id, run, blockSize);
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

const pageSize = 4096;
const idleMs = 30_000;

/**
 * The arena, divided among pieces. Memory is given in the order in which it was asked for: a large piece that waits is not
 * overtaken by small ones. Freed blocks are reused as they are; only when nothing was asked for during `idleMs` are the
 * free ones given back to the system, because taking them again costs a page fault per 4 KiB.
 */
export class MemoryTier<Owner> {
  readonly capacity: number;
  readonly #options: MemoryTierOptions<Owner>;
  readonly #space: Space<Frame<Owner>>;
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
    this.#space = new Space({
      ...options,
      capacity: options.arena.capacity,
      isHeld: (frame) => frame.held,
      evict: (frame) => this.#evict(frame),
    });
    this.capacity = this.#space.capacity;
    this.#touched = new Uint8Array(this.capacity / options.blockSize);
    this.#line = new WaitingLine(['write', 'read'], (id, length, purpose) => this.#take(id, length, purpose));
  }

  get usage(): { used: number; pinned: number; dirty: number; evictions: number } {
    return {
      used: this.capacity - this.#space.free,
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
    this.#space.order.insert(frame, this.#options.now());
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

  /** The frame's memory in whole pages, as a device wants it; what is beyond the piece is undefined. */
  pages(frame: Frame<Owner>): Buffer {
    const length = Math.ceil(frame.buffer.length / pageSize) * pageSize;
    return this.#options.arena.view(frame.at * this.#options.blockSize, length);
  }

  /** Counts a use of the frame. */
  touch(frame: Frame<Owner>): void {
    this.#space.order.touch(frame, this.#options.now());
  }

  /** Takes the frame from its owner, or ends its filling; its memory is free as soon as it is not held. */
  detach(frame: Frame<Owner>): void {
    if (frame.stage === 'detached') return;
    this.#account(frame, -1);
    frame.owner = undefined;
    frame.stage = 'detached';
    this.#space.order.remove(frame);
    this.#account(frame, 1);
    this.#settle(frame);
  }

  /** Ends a frame that came to nothing, or is not needed: its one pin with it. */
  giveBack(frame: Frame<Owner>): void {
    this.detach(frame);
    this.unpin(frame);
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
    this.#space.release(frame);
    if (!this.#closed) this.#idleTimer ??= setInterval(() => this.#giveBackWhenIdle(), idleMs).unref();
  }

  /** A frame, if there is room for it or room can be made; the waiting line asks again when something was freed. */
  #take(id: string, length: number, purpose: Purpose): Frame<Owner> | 'not-now' | 'not-this-purpose' {
    const { arena, blockSize, writeLimit } = this.#options;
    const count = this.#space.blocksFor(length);
    const bytes = count * blockSize;
    if (purpose === 'write' && this.#unwritten > 0 && this.#unwritten + bytes > writeLimit) return 'not-this-purpose';
    // Without this look ahead everyone who waits would cost a walk over all that is held.
    if (this.#space.free + this.#evictable < bytes) return 'not-now';
    const run = this.#space.allocate(count);
    if (!run) return 'not-now';
    this.#touched.fill(1, run.at, run.at + count);
    const frame = new Frame<Owner>(id, run, blockSize, arena.view(run.at * blockSize, length), purpose);
    this.#space.hold(frame);
    this.#account(frame, 1);
    return frame;
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
    for (const { at, count } of this.#space.freeRuns()) {
      if (!this.#touched.subarray(at, at + count).includes(1)) continue;
      arena.discard(at * blockSize, count * blockSize);
      this.#touched.fill(0, at, at + count);
    }
  }
}
