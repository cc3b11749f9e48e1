import type { Run } from './buddy.ts';
import type { S3FifoOptions } from './eviction.ts';
import type { JournalRecord, PutRecord } from './journal-format.ts';
import type { Blob, Piece } from './piece.ts';
import { replay } from './replay.ts';
import { Placed, Space } from './space.ts';

/** Where a piece is on the disk. While requests for it are under way, its blocks are given to nobody else. */
export class Extent extends Placed {
  readonly piece: Piece;
  requests = 0;
  /** The piece is not here (any more): the blocks are free as soon as the requests are through. */
  ended = false;

  constructor(piece: Piece, run: Run, blockSize: number) {
    super(piece.id, run, blockSize);
    this.piece = piece;
  }
}

export interface ExtentsOptions extends S3FifoOptions {
  /** Bytes. */
  readonly blockSize: number;
  /** Bytes; see `SpaceOptions`. */
  readonly largestPiece: number;
  /** The index has to say this. */
  readonly record: (record: JournalRecord) => void;
  /** The piece was evicted from the disk. */
  readonly lost: (piece: Piece) => void;
  /** Seconds since the epoch. */
  readonly now: () => number;
}

/**
 * The share of the disk that is freed when it is full. Every write waits while the drop records go out: with 1/128 putting took
 * a third longer (docs/store.md).
 */
const reclaimShare = 1 / 32;

/** Which pieces are where on the disk. Every change is told to the index; nothing here touches a file. */
export class Extents {
  readonly #options: ExtentsOptions;
  #space: Space<Extent>;
  #evictions = 0;

  constructor(options: ExtentsOptions) {
    this.#options = options;
    this.#space = this.#newSpace([]);
  }

  /** Bytes. */
  get usage(): { used: number; capacity: number } {
    const { capacity, free } = this.#space;
    return { used: capacity - free, capacity };
  }

  get evictions(): number {
    return this.#evictions;
  }

  get count(): number {
    return this.#space.order.length;
  }

  /** Room for a piece that is to be written; others are evicted where need be. Undefined where too much is busy. */
  allocate(piece: Piece): Extent | undefined {
    const { blockSize } = this.#options;
    const count = this.#space.blocksFor(piece.length);
    // Room is made for many at once: their drop records are then written together, before the first of them is overwritten.
    if (this.#space.free < count * blockSize) this.#space.reclaim(this.#space.capacity * reclaimShare);
    const run = this.#space.allocate(count);
    if (!run) return undefined;
    const extent = new Extent(piece, run, blockSize);
    this.#space.hold(extent);
    return extent;
  }

  /** The piece's bytes are there. */
  publish(extent: Extent): void {
    extent.piece.extent = extent;
    this.#space.order.insert(extent, this.#options.now());
    this.#options.record(this.#putRecord(extent));
  }

  /** The piece is not there any more. */
  remove(extent: Extent): void {
    const { piece } = extent;
    piece.extent = undefined;
    extent.ended = true;
    this.#space.order.remove(extent);
    this.#options.record({ type: 'drop', digest: piece.blob.digest, index: piece.index });
    if (extent.requests === 0) this.#space.release(extent);
  }

  /** A request for the extent's blocks begins. */
  begin(extent: Extent): void {
    extent.requests += 1;
  }

  end(extent: Extent): void {
    extent.requests -= 1;
    if (extent.ended && extent.requests === 0) this.#space.release(extent);
  }

  /** Counts a use. */
  touch(extent: Extent): void {
    this.#space.order.touch(extent, this.#options.now());
  }

  /** What an index must say to bring this state back, the eviction order included. */
  *records(): Generator<JournalRecord> {
    const blobs = new Set<Blob>();
    for (const extent of this.#space.order.items()) {
      yield this.#putRecord(extent);
      blobs.add(extent.piece.blob);
    }
    for (const blob of blobs) if (blob.verifiedOnDisk) yield { type: 'verified', digest: blob.digest };
  }

  /**
   * Forgets everything and takes over what an index says. `found` gives the piece for a record; undefined where the store has
   * another in its place or does not want it. Returns the blobs that are verified.
   */
  load(records: Iterable<JournalRecord>, found: (record: PutRecord) => Piece | undefined): Set<string> {
    for (const extent of [...this.#space.order.items()]) {
      this.remove(extent);
      this.#options.lost(extent.piece);
    }
    const { blockSize, now } = this.#options;
    const { pieces, verified } = replay(records, { blocks: this.#space.capacity / blockSize, blockSize });
    const extents: { extent: Extent; proven: boolean }[] = [];
    for (const record of pieces) {
      const piece = found(record);
      if (piece) {
        const run = { at: record.at, count: this.#space.blocksFor(record.length) };
        piece.extent = new Extent(piece, run, blockSize);
        extents.push({ extent: piece.extent, proven: record.proven });
      }
      // What the store has in its place was not part of what was hashed.
      else verified.delete(record.digest);
    }
    this.#space = this.#newSpace(extents.map(({ extent }) => extent));
    for (const { extent, proven } of extents) {
      this.#space.hold(extent);
      this.#space.order.insert(extent, now(), proven);
    }
    return verified;
  }

  #newSpace(used: readonly Run[]): Space<Extent> {
    return new Space<Extent>({
      ...this.#options,
      used,
      isHeld: (extent) => extent.requests > 0,
      evict: (extent) => {
        this.#evictions += 1;
        this.remove(extent);
        this.#options.lost(extent.piece);
      },
    });
  }

  #putRecord(extent: Extent): PutRecord {
    const { blob, index, length, crc32c, storedAt } = extent.piece;
    const proven = this.#space.order.isProven(extent);
    return { type: 'put', digest: blob.digest, index, length, crc32c, at: extent.at, storedAt, proven };
  }
}
