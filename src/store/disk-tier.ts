import { Distribution } from '../telemetry/distribution.ts';
import { Backoff } from './backoff.ts';
import { StoreError } from './errors.ts';
import { type Extent, Extents } from './extents.ts';
import { InFlight } from './in-flight.ts';
import type { PutRecord } from './journal-format.ts';
import { type DirectoryLock, lockDirectory } from './lock.ts';
import type { Frame } from './memory-tier.ts';
import type { Blob, Piece } from './piece.ts';
import type { DiskStat } from './types.ts';
import { Volume, type VolumeOptions } from './volume.ts';

/** What the disk tier asks of the store that it serves. */
export interface DiskClient {
  /** The frame's memory in whole pages, as the device wants it. */
  pages(frame: Frame<Piece>): Buffer;
  /** The frame need not be kept for the disk's sake any more: it is written, or the disk can't take it. */
  settled(frame: Frame<Piece>): void;
  /** The disk does not have the piece any more. */
  lost(piece: Piece): void;
  /** The index names a piece. Returns it; undefined where the store has one in its place already, or does not want it. */
  found(record: PutRecord): Piece | undefined;
  /** All pieces of the blob were found, and the index says that it was verified. */
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

/** Twice what keeps a disk busy: some are always waiting for the event loop. */
const writesAtOnce = 32;
/** A process that dies loses at most what was put within this time. */
const flushEveryMs = 20;
/** From a fast disk's 256 KiB to a cloud disk that is throttled. Seconds. */
const latencyBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5];
const nothingDone = { inFlight: 0, queued: 0, reads: 0, writes: 0, readBytes: 0, writtenBytes: 0 };
/** A power loss costs at most what was put within this time. */
const syncEveryMs = 5_000;

/**
 * Pieces on the disk: written behind, read back and checked, evicted. Any error of the device or the index makes the tier
 * degraded: it has nothing and takes nothing, and opens its files again after a wait that grows.
 */
export class DiskTier {
  readonly #options: DiskTierOptions;
  readonly #client: DiskClient;
  readonly #extents: Extents;
  readonly #backoff = new Backoff();
  #lock: DirectoryLock | undefined;
  #volume: Volume | undefined;
  #slabId: string | undefined;
  #degraded: string | undefined = 'not open yet';
  /** Pieces to be written, oldest first. */
  readonly #queue = new Set<Piece>();
  #writes = 0;
  /** Requests to the device, writes included. While there are none nothing waits to be written either, unless degraded. */
  readonly #requests = new InFlight();
  #flushTimer: NodeJS.Timeout | undefined;
  #syncTimer: NodeJS.Timeout | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #reopening: Promise<void> | undefined;
  #closing = false;
  #corrupt = 0;
  readonly #readSeconds = new Distribution(latencyBounds);
  readonly #writeSeconds = new Distribution(latencyBounds);

  constructor(options: DiskTierOptions, client: DiskClient) {
    this.#options = options;
    this.#client = client;
    this.#extents = new Extents({
      ...options,
      // The slab's first block holds its header.
      capacity: options.capacity - options.blockSize,
      lost: client.lost,
      // A degraded tier's index is written anew when it comes back.
      record: (record) => {
        if (this.usable) this.#volume?.append(record);
      },
    });
  }

  /** Whether pieces on the disk can be had, and new ones be taken. */
  get usable(): boolean {
    return this.#degraded === undefined;
  }

  get usage(): DiskStat {
    const device = this.#volume?.device;
    return {
      ...this.#extents.usage,
      engine: device?.engine ?? 'none',
      io: {
        ...(device?.stat() ?? nothingDone),
        readSeconds: this.#readSeconds.snapshot(),
        writeSeconds: this.#writeSeconds.snapshot(),
      },
      ...(this.#degraded === undefined ? {} : { degraded: this.#degraded }),
    };
  }

  get counters(): { evictions: number; corrupt: number } {
    return { evictions: this.#extents.evictions, corrupt: this.#corrupt };
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
    const began = performance.now();
    try {
      await volume.read(extent.at, this.#client.pages(frame));
      this.#readSeconds.observe((performance.now() - began) / 1000);
    } catch (error) {
      this.#fail(volume, error);
      return false;
    } finally {
      this.#end(extent);
    }
    const sound = (await this.#options.native.crc32cOffLoop(frame.buffer)) === piece.crc32c;
    if (!sound && !extent.ended) {
      this.#corrupt += 1;
      const { digest } = piece.blob;
      this.#options.log.warn({ digest, piece: piece.index }, 'a piece on the disk is damaged and dropped');
    }
    return sound;
  }

  /** Counts a use of the piece. */
  touch(extent: Extent): void {
    this.#extents.touch(extent);
  }

  /** The piece leaves the store. */
  forget(piece: Piece): void {
    if (this.#queue.delete(piece) && piece.frame) this.#client.settled(piece.frame);
    if (piece.extent) this.#extents.remove(piece.extent);
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
    await this.#reopening;
    await this.#requests.untilNone();
    const volume = this.#volume;
    try {
      if (this.usable) {
        await volume?.device.sync();
        // The fresh index also remembers which pieces the eviction order had found worth keeping.
        await volume?.startIndex(this.#extents.records());
      }
    } catch (error) {
      this.#options.log.warn({ err: error }, 'the cache index could not be written at the end');
    } finally {
      this.#degraded = 'closed';
      clearTimeout(this.#flushTimer);
      clearInterval(this.#syncTimer);
      await volume?.close();
      await this.#lock?.release();
    }
  }

  async #open(): Promise<void> {
    const { directory, log } = this.#options;
    let volume: Volume | undefined;
    try {
      this.#lock ??= await lockDirectory(directory);
      volume = await Volume.open(this.#options);
      if (volume.slabId !== this.#slabId) this.#adopt(volume);
      await volume.startIndex(this.#extents.records());
    } catch (error) {
      await volume?.close();
      if (error instanceof StoreError && error.kind === 'locked') throw error;
      this.#degrade(error);
      return;
    }
    this.#volume = volume;
    this.#syncTimer ??= setInterval(() => void this.#guard((open) => open.sync()), syncEveryMs).unref();
    const { engine, engineReason, direct } = volume.device;
    log.info({ directory, engine, engineReason, direct, pieces: this.#extents.count }, 'the disk cache is in use');
    this.#degraded = undefined;
    this.#client.ready();
  }

  /** Takes over what is on the disk. Not for the slab that was here before: of that one memory knows better. */
  #adopt(volume: Volume): void {
    const verified = this.#extents.load(volume.records, this.#client.found);
    for (const digest of verified) this.#client.foundVerified(digest);
    this.#slabId = volume.slabId;
  }

  #writeNext(): void {
    for (const piece of this.#queue) {
      if (this.#writes >= writesAtOnce || !this.usable) return;
      const extent = this.#extents.allocate(piece);
      // Everything is being read or written: the end of any request comes back here.
      if (!extent) return;
      this.#queue.delete(piece);
      void this.#write(extent);
    }
  }

  async #write(extent: Extent): Promise<void> {
    const { piece } = extent;
    const { frame } = piece;
    const volume = this.#volume;
    if (!frame || !volume) return;
    this.#writes += 1;
    this.#begin(extent);
    const began = performance.now();
    try {
      await volume.write(extent.at, this.#client.pages(frame));
      this.#writeSeconds.observe((performance.now() - began) / 1000);
      if (piece.gone || !this.usable) extent.ended = true;
      else {
        this.#extents.publish(extent);
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

  #begin(extent: Extent): void {
    this.#requests.begin();
    this.#extents.begin(extent);
  }

  #end(extent: Extent): void {
    this.#extents.end(extent);
    this.#writeNext();
    // After the next writes have begun: between two of them the tier is not quiet.
    this.#requests.end();
  }

  #flushSoon(): void {
    this.#flushTimer ??= setTimeout(() => {
      this.#flushTimer = undefined;
      void this.#guard((volume) => (volume.overgrown ? volume.startIndex(this.#extents.records()) : volume.flush()));
    }, flushEveryMs).unref();
  }

  /** Does something with the open files, if they are; trouble makes the tier degraded. */
  async #guard(work: (volume: Volume) => Promise<void>): Promise<void> {
    const volume = this.#volume;
    if (!volume || !this.usable) return;
    try {
      await work(volume);
    } catch (error) {
      this.#fail(volume, error);
    }
  }

  #fail(volume: Volume, error: unknown): void {
    if (volume === this.#volume && this.usable) this.#degrade(error);
  }

  #degrade(error: unknown): void {
    const { directory, log, now } = this.#options;
    const reason = error instanceof Error ? error.message : String(error);
    const { waitMs, isNews } = this.#backoff.fail(now() * 1000);
    this.#degraded = reason;
    if (isNews) {
      log.error(
        { directory, reason },
        'the disk cache is out of use: pieces are kept in memory alone until it is back',
      );
    }
    for (const piece of this.#queue) if (piece.frame) this.#client.settled(piece.frame);
    this.#queue.clear();
    if (this.#closing) return;
    this.#retryTimer = setTimeout(() => {
      this.#reopening = this.#reopen();
    }, waitMs).unref();
  }

  async #reopen(): Promise<void> {
    const former = this.#volume;
    this.#volume = undefined;
    await this.#requests.untilNone();
    await former?.close();
    try {
      await this.#open();
    } catch (error) {
      this.#degrade(error);
    }
  }
}
