import type { Arena } from '../native/types.ts';
import { closedError, StoreError } from './errors.ts';
import { type Frame, MemoryTier } from './memory-tier.ts';
import { Piece, pieceId } from './piece.ts';
import { PieceTable } from './piece-table.ts';
import type { PieceKey, PieceStore, PieceWriter, PinnedPiece, StoreStat, Tier } from './types.ts';

export const largestPiece = 4 * 1024 * 1024;

/**
 * Newcomers' share of the tier that holds the cache, and how much of it a reader may run ahead: what came within the share is
 * not evicted, so the rest of it is room for other readers.
 */
const probation = 0.5;
/** Seconds in which a piece's uses count as one: longer than most pulls. */
const correlated = 60;

export interface StoreOptions {
  readonly arena: Arena;
  /** Bytes. */
  readonly blockSize: number;
  /** Seconds after which a piece is gone, counted from when it was put. */
  readonly ttl?: number;
  /** Seconds since the epoch. */
  readonly now: () => number;
}

/** The piece store: what is known of each piece, in which tier it is, and who reads it. See `PieceStore` for the promises. */
export class Store implements PieceStore {
  readonly readAheadBytes: number;
  readonly #options: StoreOptions;
  readonly #table = new PieceTable();
  readonly #memory: MemoryTier<Piece>;
  #memoryHits = 0;
  #misses = 0;
  #closed = false;

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#memory = new MemoryTier<Piece>({
      ...options,
      largestPiece: Math.max(largestPiece, options.blockSize),
      probation,
      correlated,
      writeLimit: options.arena.capacity,
      onEvict: (piece) => {
        piece.frame = undefined;
        this.#table.remove(piece);
      },
    });
    this.readAheadBytes = this.#memory.capacity * probation;
  }

  async reserve(key: PieceKey, length: number, signal?: AbortSignal): Promise<PieceWriter> {
    const most = Math.min(largestPiece, this.#memory.capacity);
    if (!Number.isInteger(length) || length < 1 || length > most) {
      throw new StoreError('length', `a piece has 1 to ${most} bytes, not ${length}`);
    }
    const id = pieceId(key.digest, key.index);
    const frame = await this.#memory.acquire(id, length, 'write', signal);
    let ended = false;
    const end = () => {
      if (ended) throw new Error('the piece writer was ended before');
      ended = true;
    };
    return {
      buffer: frame.buffer,
      commit: (crc32c) => {
        end();
        return this.#commit(key, frame, crc32c);
      },
      abort: () => {
        end();
        this.#memory.detach(frame);
        this.#memory.unpin(frame);
      },
    };
  }

  get(key: PieceKey, signal?: AbortSignal): Promise<PinnedPiece | undefined> {
    if (this.#closed) return Promise.reject(closedError());
    if (signal?.aborted) return Promise.reject(signal.reason);
    const piece = this.#find(key);
    if (piece?.frame) {
      this.#memoryHits += 1;
      this.#memory.touch(piece.frame);
      return Promise.resolve(this.#pin(piece.frame, piece.crc32c, 'memory'));
    }
    this.#misses += 1;
    return Promise.resolve(undefined);
  }

  has(key: PieceKey): boolean {
    return this.#find(key) !== undefined;
  }

  drop(digest: string): void {
    for (const piece of this.#table.blob(digest)?.pieces.values() ?? []) this.#forget(piece);
  }

  isVerified(digest: string): boolean {
    return this.#table.blob(digest)?.verified ?? false;
  }

  markVerified(digest: string): void {
    const blob = this.#table.blob(digest);
    if (blob && !blob.broken) blob.verified = true;
  }

  stat(): StoreStat {
    const { used, pinned, dirty, evictions } = this.#memory.usage;
    return {
      mode: 'memory',
      memory: { used, capacity: this.#memory.capacity, pinned, dirty },
      pieces: this.#table.pieces,
      blobs: this.#table.blobs,
      hits: { memory: this.#memoryHits, disk: 0 },
      misses: this.#misses,
      evictions,
      corrupt: 0,
    };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const piece of this.#table) this.#forget(piece);
    this.#memory.close();
  }

  #commit(key: PieceKey, frame: Frame<Piece>, crc32c: number): PinnedPiece {
    const length = frame.buffer.length;
    const present = this.#find(key);
    if (present?.frame && present.length === length && present.crc32c === crc32c) {
      // Somebody else was faster: one copy is enough.
      this.#memory.detach(frame);
      this.#memory.unpin(frame);
      return this.#pin(present.frame, crc32c, 'memory');
    }
    if (present) this.#forget(present);
    if (this.#closed) this.#memory.detach(frame);
    else {
      const piece = new Piece(this.#table.blobFor(key.digest), key.index, length, crc32c, this.#options.now());
      piece.frame = frame;
      this.#table.add(piece);
      this.#memory.publish(frame, piece, false);
    }
    return this.#pinned(frame, crc32c, 'memory');
  }

  /** The piece, unless it is not there or too old. */
  #find(key: PieceKey): Piece | undefined {
    const piece = this.#table.find(key);
    const { ttl, now } = this.#options;
    if (piece && ttl !== undefined && now() - piece.storedAt >= ttl) {
      this.#forget(piece);
      return undefined;
    }
    return piece;
  }

  #forget(piece: Piece): void {
    this.#table.remove(piece);
    if (piece.frame) this.#memory.detach(piece.frame);
    piece.frame = undefined;
  }

  #pin(frame: Frame<Piece>, crc32c: number, tier: Tier): PinnedPiece {
    this.#memory.pin(frame);
    return this.#pinned(frame, crc32c, tier);
  }

  /** Hands out a pin that the frame has already. */
  #pinned(frame: Frame<Piece>, crc32c: number, tier: Tier): PinnedPiece {
    let released = false;
    return {
      bytes: frame.buffer,
      crc32c,
      tier,
      release: () => {
        if (released) throw new Error('the piece was released before');
        released = true;
        this.#memory.unpin(frame);
      },
    };
  }
}
