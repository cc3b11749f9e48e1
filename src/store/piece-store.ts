import type { Arena } from '../native/types.ts';
import { checkPiece } from './check-piece.ts';
import { type DiskClient, DiskTier, type DiskTierOptions } from './disk-tier.ts';
import { closedError } from './errors.ts';
import { Housekeeping } from './housekeeping.ts';
import type { PutRecord } from './journal-format.ts';
import { Load } from './load.ts';
import { type Frame, MemoryTier } from './memory-tier.ts';
import { Piece, pieceId } from './piece.ts';
import { PieceTable } from './piece-table.ts';
import type {
  HeldPiece,
  PieceKey,
  PieceStore,
  PieceWriter,
  PinnedPiece,
  StoreAdmin,
  StoredBlob,
  StoreStat,
  Tier,
} from './types.ts';

const longestPiece = 4 * 1024 * 1024;

/**
 * Newcomers' share of a tier. What came within it is not evicted, so a reader may run ahead by a part of it: a half of the
 * disk tier's, all of the memory tier's.
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
  /** Absent in memory mode. */
  readonly disk?: Omit<DiskTierOptions, 'blockSize' | 'largestPiece' | 'probation' | 'correlated' | 'now'>;
}

/** The piece store: which pieces there are, in which tier, and who reads them. See `PieceStore` for the promises. */
export class Store implements PieceStore, StoreAdmin {
  readonly readAheadBytes: number;
  readonly #options: StoreOptions;
  readonly #table = new PieceTable();
  readonly #memory: MemoryTier<Piece>;
  readonly #disk: DiskTier | undefined;
  readonly #housekeeping: Housekeeping;
  readonly #hits = { memory: 0, disk: 0 };
  #misses = 0;
  #closed = false;

  constructor(options: StoreOptions) {
    this.#options = options;
    const { arena, blockSize, now, disk, ttl } = options;
    const common = { blockSize, now, probation, correlated, largestPiece: Math.max(longestPiece, blockSize) };
    this.#memory = new MemoryTier<Piece>({
      ...common,
      arena,
      // What is left is for reads from the disk: they go on while the disk is behind with writing.
      writeLimit: disk ? arena.capacity * 0.75 : arena.capacity,
      onEvict: (piece) => {
        piece.frame = undefined;
        if (!piece.extent) this.#table.remove(piece);
      },
    });
    this.#disk = disk && new DiskTier({ ...common, ...disk }, this.#diskClient());
    this.#housekeeping = new Housekeeping({
      table: this.#table,
      memory: this.#memory,
      disk: this.#disk,
      ttl,
      now,
      forget: (piece) => this.#forget(piece),
    });
    this.readAheadBytes = disk ? disk.capacity / 4 : this.#memory.capacity * probation;
  }

  /** Opens the disk tier. Rejects only where another process has its directory. */
  async start(): Promise<void> {
    await this.#disk?.start();
    this.#housekeeping.start();
  }

  async reserve(key: PieceKey, length: number, signal?: AbortSignal): Promise<PieceWriter> {
    checkPiece(key, length, Math.min(longestPiece, this.#memory.capacity));
    const frame = await this.#memory.acquire(pieceId(key.digest, key.index), length, 'write', signal);
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
        this.#memory.giveBack(frame);
      },
    };
  }

  get(key: PieceKey, signal?: AbortSignal): Promise<PinnedPiece | undefined> {
    if (this.#closed) return Promise.reject(closedError());
    if (signal?.aborted) return Promise.reject(signal.reason);
    const piece = this.#find(key);
    if (!piece) {
      this.#misses += 1;
      return Promise.resolve(undefined);
    }
    if (piece.extent) this.#disk?.touch(piece.extent);
    if (piece.frame) {
      this.#memory.touch(piece.frame);
      return Promise.resolve(this.#hit(piece.frame, piece.crc32c, 'memory'));
    }
    if (!piece.load || piece.load.abandoned.aborted) {
      piece.load = new Load();
      void this.#load(piece, piece.load);
    }
    return piece.load.wait(signal);
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
    if (!blob || blob.broken) return;
    blob.verified = true;
    this.#disk?.noteVerified(blob);
  }

  *holdings(): Generator<HeldPiece> {
    for (const { blob, index, crc32c, frame } of this.#table) {
      // A disk that is away keeps what it has, but nobody gets it.
      if (frame === undefined && !this.#disk?.usable) continue;
      yield { digest: blob.digest, index, crc32c, verified: blob.verified };
    }
  }

  onRemove(listener: (key: PieceKey) => void): void {
    this.#table.onRemove = listener;
  }

  stat(): StoreStat {
    const { used, pinned, dirty, evictions } = this.#memory.usage;
    const disk = this.#disk;
    return {
      mode: disk ? 'disk' : 'memory',
      memory: { used, capacity: this.#memory.capacity, pinned, dirty },
      ...(disk ? { disk: disk.usage } : {}),
      pieces: this.#table.pieces,
      blobs: this.#table.blobs,
      hits: { ...this.#hits },
      misses: this.#misses,
      evictions: disk ? disk.counters.evictions : evictions,
      corrupt: disk?.counters.corrupt ?? 0,
    };
  }

  list(): StoredBlob[] {
    return this.#housekeeping.list();
  }

  collectGarbage(): number {
    return this.#housekeeping.collectGarbage();
  }

  clear(): number {
    return this.#housekeeping.clear();
  }

  verify(signal?: AbortSignal): Promise<{ checked: number; damaged: number }> {
    return this.#housekeeping.verify(signal);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#housekeeping.stop();
    await this.#disk?.close();
    for (const piece of this.#table) this.#forget(piece);
    this.#memory.close();
  }

  #commit(key: PieceKey, frame: Frame<Piece>, crc32c: number): PinnedPiece {
    if (this.#closed) {
      this.#memory.detach(frame);
      return this.#pinned(frame, crc32c, 'memory');
    }
    const length = frame.buffer.length;
    // Also one that a degraded disk keeps from `get`.
    let piece = this.#find(key) ?? this.#table.find(key);
    if (piece && (piece.length !== length || piece.crc32c !== crc32c)) {
      this.#forget(piece);
      piece = undefined;
    }
    if (piece?.frame) {
      // Somebody else was faster: one copy is enough.
      this.#memory.giveBack(frame);
      this.#memory.pin(piece.frame);
      return this.#pinned(piece.frame, crc32c, 'memory');
    }
    // The disk has it: these bytes have the same checksum, but they are not the ones that were hashed.
    if (piece) piece.blob.breakUp();
    else {
      piece = new Piece(this.#table.blobFor(key.digest), key.index, length, crc32c, this.#options.now());
      this.#table.add(piece);
    }
    this.#install(piece, frame);
    return this.#pinned(frame, crc32c, 'memory');
  }

  /** The piece's bytes are in memory from now on, and on their way to the disk if they are not there. */
  #install(piece: Piece, frame: Frame<Piece>): void {
    const write = this.#disk?.usable === true && !piece.extent;
    piece.frame = frame;
    this.#memory.publish(frame, piece, write);
    if (write) this.#disk?.write(piece);
  }

  /** Reads the piece from the disk into memory, for all who wait for it. */
  async #load(piece: Piece, load: Load): Promise<void> {
    let frame: Frame<Piece>;
    try {
      frame = await this.#memory.acquire(piece.id, piece.length, 'read', load.abandoned);
    } catch (error) {
      if (piece.load === load) piece.load = undefined;
      load.fail(error);
      return;
    }
    const sound = (await this.#disk?.read(piece, frame)) ?? false;
    if (piece.load === load) piece.load = undefined;
    if (!sound && !piece.frame) this.#forget(piece);
    // Somebody may have committed the same piece meanwhile.
    if (piece.gone || piece.frame) this.#memory.giveBack(frame);
    else this.#install(piece, frame);
    const found = piece.frame;
    if (found) load.succeed(() => this.#hit(found, piece.crc32c, 'disk'));
    else {
      this.#misses += 1;
      load.succeed(() => undefined);
    }
    if (found === frame) this.#memory.unpin(frame);
  }

  /** The piece, if `get` would find it now. */
  #find(key: PieceKey): Piece | undefined {
    const piece = this.#table.find(key);
    if (!piece) return undefined;
    if (this.#housekeeping.isExpired(piece.storedAt)) {
      this.#forget(piece);
      return undefined;
    }
    return piece.frame || this.#disk?.usable ? piece : undefined;
  }

  #forget(piece: Piece): void {
    this.#table.remove(piece);
    this.#disk?.forget(piece);
    const { frame } = piece;
    piece.frame = undefined;
    if (frame) this.#memory.detach(frame);
  }

  #diskClient(): DiskClient {
    return {
      pages: (frame) => this.#memory.pages(frame),
      settled: (frame) => this.#memory.setDirty(frame, false),
      lost: (piece) => {
        if (!piece.frame) this.#table.remove(piece);
      },
      found: (record) => this.#found(record),
      foundVerified: (digest) => {
        const blob = this.#table.blob(digest);
        if (blob && !blob.broken) blob.verified = true;
      },
      ready: () => {
        for (const piece of this.#table) {
          if (!piece.frame || piece.extent || piece.frame.dirty) continue;
          this.#memory.setDirty(piece.frame, true);
          this.#disk?.write(piece);
        }
      },
    };
  }

  #found(record: PutRecord): Piece | undefined {
    if (this.#table.find(record) || this.#housekeeping.isExpired(record.storedAt)) return undefined;
    const { digest, index, length, crc32c, storedAt } = record;
    const piece = new Piece(this.#table.blobFor(digest), index, length, crc32c, storedAt);
    this.#table.add(piece);
    return piece;
  }

  #hit(frame: Frame<Piece>, crc32c: number, tier: Tier): PinnedPiece {
    this.#hits[tier] += 1;
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
