import type { Run } from './buddy.ts';
import { StoreError } from './errors.ts';
import type { JournalRecord, PutRecord } from './journal-format.ts';
import { type DirectoryLock, lockDirectory } from './lock.ts';
import type { Frame } from './memory-tier.ts';
import type { Blob, Piece } from './piece.ts';
import { replay } from './replay.ts';
import { Placed, Space } from './space.ts';
import { Volume, type VolumeOptions } from './volume.ts';

/** Where a piece is on the disk. While requests for it are under way, its blocks are given to nobody else. */
export class Extent extends Placed {
  readonly piece: Piece;
  requests = 0;
  /** The piece is not here any more: the blocks are free as soon as the requests are through. */
  ended = false;

  constructor(piece: Piece, run: Run, blockSize: number) {
    super(piece.id, run, blockSize);
    this.piece = piece;
  }
}

/** What the disk tier asks of the store that it serves. */
export interface DiskClient {
  /** The frame's memory in whole pages, as the device wants it. */
  pages(frame: Frame<Piece>): Buffer;
  /** The frame need not be kept for the disk's sake any more: it is written, or the disk can't take it. */
  settled(frame: Frame<Piece>): void;
  /** The disk does not have the piece any more. */
  lost(piece: Piece): void;
  /** The index names a piece. Returns it; undefined where the store has one in its place already. */
  found(record: PutRecord): Piece | undefined;
  /** The index says that the blob was verified. */
  foundVerified(digest: string): void;
  /** The disk takes pieces from now on: `write` those that it has not. */
  ready(): void;
}

export interface DiskTierOptions extends VolumeOptions {
  /** Bytes. */
  readonly largestPiece: number;
  /** See `S3Fifo`. */
  readonly probation: number;
  readonly correlated: number;
  /** Seconds since the epoch. */
  readonly now: () => number;
}

const writesAtOnce = 16;
/** The share of the disk that is freed when it is full. */
const reclaimShare = 1 / 128;
/** A process that dies loses at most what was put within this time. */
const flushEveryMs = 20;
/** A power loss costs at most what was put within this time. */
const syncEveryMs = 5_000;
const firstRetryMs = 1_000;
const lastRetryMs = 60_000;
/** A disk that fails again sooner is the same trouble: the wait goes on growing, and it is not reported again. */
const calmMs = 2 * lastRetryMs;

/**
 * Pieces on the disk: written behind, read back and checked, evicted. Any error of the device or the index makes the tier
 * degraded: it has nothing and takes nothing, and opens its files again after a wait that grows.
 */
export class DiskTier {
  readonly #options: DiskTierOptions;
  readonly #client: DiskClient;
  #space: Space<Extent>;
  #lock: DirectoryLock | undefined;
  #volume: Volume | undefined;
  #slabId: string | undefined;
  #degraded: string | undefined = 'not open yet';
  #engine = 'none';
  /** Pieces to be written, oldest first. */
  readonly #queue = new Set<Piece>();
  /** Requests to the device, and who waits until there are none. */
  #requests = 0;
  #writes = 0;
  readonly #quiet: (() => void)[] = [];
  #flushTimer: NodeJS.Timeout | undefined;
  #syncTimer: NodeJS.Timeout | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #retryMs = firstRetryMs;
  #failedAt = Number.NEGATIVE_INFINITY;
  #opening: Promise<void> | undefined;
  #closing = false;
  #evictions = 0;
  #corrupt = 0;

  constructor(options: DiskTierOptions, client: DiskClient) {
    this.#options = options;
    this.#client = client;
    this.#space = this.#newSpace([]);
  }

  /** Whether pieces on the disk can be had, and new ones be taken. */
  get usable(): boolean {
    return this.#degraded === undefined;
  }

  get usage() {
    const { capacity, free } = this.#space;
    return {
      used: capacity - free,
      capacity,
      engine: this.#engine,
      ...(this.#degraded === undefined ? {} : { degraded: this.#degraded }),
    };
  }

  get counters() {
    return { evictions: this.#evictions, corrupt: this.#corrupt };
  }

  /** Opens the files. Rejects only where another process has the directory: other trouble makes the tier degraded. */
  async start(): Promise<void> {
    await this.#open();
  }

  /** The piece is in memory and has to go to the disk; its frame is dirty until `settled`. */
  write(piece: Piece): void {
    this.#queue.add(piece);
    this.#writeNext();
  }

  /** Reads the piece into the frame. False where the bytes are not right or could not be read: the piece is useless then. */
  async read(piece: Piece, frame: Frame<Piece>): Promise<boolean> {
    const { extent } = piece;
    const volume = this.#volume;
    if (!extent || !volume || !this.usable) return false;
    this.#begin(extent);
    try {
      await volume.read(extent.at, this.#client.pages(frame));
    } catch (error) {
      this.#fail(volume, error);
      return false;
    } finally {
      this.#end(extent);
    }
    const sound = this.#options.native.crc32c(frame.buffer) === piece.crc32c;
    if (!sound && !extent.ended) {
      this.#corrupt += 1;
      const { digest } = piece.blob;
      this.#options.log.warn({ digest, piece: piece.index }, 'a piece on the disk is damaged and dropped');
    }
    return sound;
  }

  /** Counts a use of the piece. */
  touch(extent: Extent): void {
    this.#space.order.touch(extent, this.#options.now());
  }

  /** The piece leaves the store. */
  forget(piece: Piece): void {
    if (this.#queue.delete(piece) && piece.frame) this.#client.settled(piece.frame);
    if (piece.extent) this.#remove(piece.extent);
    this.#flushSoon();
  }

  /** The blob was verified: noted as soon as all of it is on the disk. */
  noteVerified(blob: Blob): void {
    if (!this.usable || !blob.verifiedOnDisk) return;
    this.#volume?.append({ type: 'verified', digest: blob.digest });
    this.#flushSoon();
  }

  /** Writes what is dirty, syncs, closes the files and gives the directory free. */
  async close(): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#flushTimer);
    await this.#opening?.catch(() => undefined);
    await this.#untilQuiet();
    const volume = this.#volume;
    try {
      if (this.usable) {
        await volume?.device.sync();
        // The fresh index also remembers which pieces the eviction order had found worth keeping.
        await volume?.startIndex(this.#snapshot());
      }
    } catch (error) {
      this.#options.log.warn({ err: error }, 'the cache index could not be written at the end');
    } finally {
      this.#degraded = 'closed';
      clearInterval(this.#syncTimer);
      await volume?.close();
      await this.#lock?.release();
    }
  }

  #newSpace(used: readonly Run[]): Space<Extent> {
    const { capacity, blockSize } = this.#options;
    return new Space<Extent>({
      ...this.#options,
      // The slab's first block holds its header.
      capacity: capacity - blockSize,
      used,
      isHeld: (extent) => extent.requests > 0,
      evict: (extent) => {
        this.#evictions += 1;
        this.#remove(extent);
        this.#client.lost(extent.piece);
      },
    });
  }

  async #open(): Promise<void> {
    const { directory } = this.#options;
    let volume: Volume | undefined;
    try {
      this.#lock ??= await lockDirectory(directory);
      volume = await Volume.open(this.#options);
      this.#adopt(volume);
      await volume.startIndex(this.#snapshot());
    } catch (error) {
      await volume?.close();
      if (error instanceof StoreError && error.kind === 'locked') throw error;
      this.#degrade(error);
      return;
    }
    this.#volume = volume;
    this.#engine = volume.device.engine;
    this.#syncTimer ??= setInterval(() => void this.#sync(), syncEveryMs).unref();
    const { engine, engineReason, direct } = volume.device;
    const pieces = this.#space.order.length;
    this.#options.log.info({ directory, engine, engineReason, direct, pieces }, 'the disk cache is in use');
    this.#degraded = undefined;
    this.#client.ready();
  }

  /** Takes over what is on the disk, unless it is the slab that was here before: then memory knows better. */
  #adopt(volume: Volume): void {
    if (volume.slabId === this.#slabId) return;
    for (const extent of [...this.#space.order.items()]) {
      this.#remove(extent);
      this.#client.lost(extent.piece);
    }
    const { blockSize, now } = this.#options;
    const blocks = this.#space.capacity / blockSize;
    const { pieces, verified } = replay(volume.records, { blocks, blockSize });
    const extents: { extent: Extent; proven: boolean }[] = [];
    for (const record of pieces) {
      const piece = this.#client.found(record);
      if (!piece) {
        // What the store has in its place was not part of what was hashed.
        verified.delete(record.digest);
        continue;
      }
      const run = { at: record.at, count: this.#space.blocksFor(record.length) };
      piece.extent = new Extent(piece, run, blockSize);
      extents.push({ extent: piece.extent, proven: record.proven });
    }
    this.#space = this.#newSpace(extents.map(({ extent }) => extent));
    for (const { extent, proven } of extents) {
      this.#space.hold(extent);
      this.#space.order.insert(extent, now(), proven);
    }
    for (const digest of verified) this.#client.foundVerified(digest);
    this.#slabId = volume.slabId;
  }

  *#snapshot(): Generator<JournalRecord> {
    const blobs = new Set<Blob>();
    for (const extent of this.#space.order.items()) {
      yield this.#putRecord(extent);
      blobs.add(extent.piece.blob);
    }
    for (const blob of blobs) if (blob.verifiedOnDisk) yield { type: 'verified', digest: blob.digest };
  }

  #putRecord(extent: Extent): PutRecord {
    const { blob, index, length, crc32c, storedAt } = extent.piece;
    const proven = this.#space.order.isProven(extent);
    return { type: 'put', digest: blob.digest, index, length, crc32c, at: extent.at, storedAt, proven };
  }

  #writeNext(): void {
    for (const piece of this.#queue) {
      if (this.#writes >= writesAtOnce || !this.usable) return;
      const run = this.#allocate(this.#space.blocksFor(piece.length));
      // Everything is being read or written: the end of any request comes back here.
      if (!run) return;
      this.#queue.delete(piece);
      const extent = new Extent(piece, run, this.#options.blockSize);
      this.#space.hold(extent);
      void this.#write(extent);
    }
  }

  #allocate(count: number): Run | undefined {
    // Room is made for many at once: their drop records are then written together, before the first of them is overwritten.
    const { blockSize } = this.#options;
    if (this.#space.free < count * blockSize) this.#space.reclaim(this.#space.capacity * reclaimShare);
    return this.#space.allocate(count);
  }

  async #write(extent: Extent): Promise<void> {
    const { piece } = extent;
    const { frame } = piece;
    const volume = this.#volume;
    if (!frame || !volume) return;
    this.#writes += 1;
    this.#begin(extent);
    try {
      await volume.write(extent.at, this.#client.pages(frame));
      if (piece.gone || !this.usable) extent.ended = true;
      else {
        piece.extent = extent;
        this.#space.order.insert(extent, this.#options.now());
        volume.append(this.#putRecord(extent));
        this.noteVerified(piece.blob);
      }
    } catch (error) {
      extent.ended = true;
      this.#fail(volume, error);
    }
    this.#client.settled(frame);
    this.#writes -= 1;
    this.#end(extent);
    this.#flushSoon();
  }

  /** Takes the piece off the disk; its blocks are free once no request is under way for them. */
  #remove(extent: Extent): void {
    const { piece } = extent;
    piece.extent = undefined;
    extent.ended = true;
    this.#space.order.remove(extent);
    if (this.usable) this.#volume?.append({ type: 'drop', digest: piece.blob.digest, index: piece.index });
    if (extent.requests === 0) this.#space.release(extent);
  }

  #begin(extent: Extent): void {
    extent.requests += 1;
    this.#requests += 1;
  }

  #end(extent: Extent): void {
    extent.requests -= 1;
    this.#requests -= 1;
    if (extent.ended && extent.requests === 0) this.#space.release(extent);
    this.#writeNext();
    if (this.#requests === 0 && (this.#queue.size === 0 || !this.usable)) {
      for (const resolve of this.#quiet.splice(0)) resolve();
    }
  }

  /** Until nothing is under way and nothing is left to be written. */
  #untilQuiet(): Promise<void> {
    if (this.#requests === 0) return Promise.resolve();
    return new Promise((resolve) => this.#quiet.push(resolve));
  }

  #flushSoon(): void {
    this.#flushTimer ??= setTimeout(() => {
      this.#flushTimer = undefined;
      void this.#flush();
    }, flushEveryMs).unref();
  }

  /** Brings the index up to date, in a new file when the old one is mostly past. */
  async #flush(): Promise<void> {
    const volume = this.#volume;
    if (!volume || !this.usable) return;
    try {
      if (volume.overgrown) await volume.startIndex(this.#snapshot());
      else await volume.flush();
    } catch (error) {
      this.#fail(volume, error);
    }
  }

  async #sync(): Promise<void> {
    const volume = this.#volume;
    if (!volume || !this.usable) return;
    try {
      await volume.sync();
    } catch (error) {
      this.#fail(volume, error);
    }
  }

  #fail(volume: Volume, error: unknown): void {
    if (volume === this.#volume && this.usable) this.#degrade(error);
  }

  #degrade(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#degraded = reason;
    const now = this.#options.now() * 1000;
    if (now - this.#failedAt > calmMs) {
      this.#retryMs = firstRetryMs;
      const { directory, log } = this.#options;
      log.error(
        { directory, reason },
        'the disk cache is out of use: pieces are kept in memory alone until it is back',
      );
    }
    this.#failedAt = now;
    for (const piece of this.#queue) {
      this.#queue.delete(piece);
      if (piece.frame) this.#client.settled(piece.frame);
    }
    if (this.#closing) return;
    this.#retryTimer = setTimeout(() => {
      this.#opening = this.#reopen();
    }, this.#retryMs).unref();
    this.#retryMs = Math.min(lastRetryMs, this.#retryMs * 2);
  }

  async #reopen(): Promise<void> {
    const former = this.#volume;
    this.#volume = undefined;
    await this.#untilQuiet();
    await former?.close();
    try {
      await this.#open();
    } catch (error) {
      this.#degrade(error);
    }
  }
}
