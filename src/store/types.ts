import type { DistributionSnapshot } from '../telemetry/distribution.ts';

/** What the other rooms may know of the piece store: one interface over the memory tier and the disk tier. */

/** A piece is named by its blob and its place in it. Every node cuts a blob of one size in the same way. */
export interface PieceKey {
  /** `sha256:…` of the whole blob. */
  readonly digest: string;
  readonly index: number;
}

/** Which tier a piece was found in. */
export type Tier = 'memory' | 'disk';

/** A piece, pinned in memory: its bytes do not move or change until `release`, which must be called exactly once. */
export interface PinnedPiece {
  /** A view of the store's own memory: exactly the piece's length. Never write to it. */
  readonly bytes: Buffer;
  /** CRC32C of the bytes. */
  readonly crc32c: number;
  readonly tier: Tier;
  release(): void;
}

/** A piece that is here, for who tells others of it. */
export interface HeldPiece extends PieceKey {
  readonly crc32c: number;
  /** The whole blob's SHA-256 was found right with this piece in it. */
  readonly verified: boolean;
}

/** Memory to receive a piece into. End it with exactly one of `commit` and `abort`. */
export interface PieceWriter {
  /** 4096-aligned memory of exactly the reserved length; its content is undefined. */
  readonly buffer: Buffer;
  /**
   * Makes the piece readable by everyone and returns it pinned. The caller has filled `buffer` and vouches for `crc32c`.
   * On a disk store the bytes go to the disk later (write-behind).
   */
  commit(crc32c: number): PinnedPiece;
  abort(): void;
}

export interface DiskStat {
  readonly used: number;
  readonly capacity: number;
  readonly engine: string;
  readonly degraded?: string;
  /** Requests to the device since it was opened last, and how long pieces took since the start, waiting included. */
  readonly io: {
    readonly inFlight: number;
    readonly queued: number;
    readonly reads: number;
    readonly writes: number;
    readonly readBytes: number;
    readonly writtenBytes: number;
    readonly readSeconds: DistributionSnapshot;
    readonly writeSeconds: DistributionSnapshot;
  };
}

export interface StoreStat {
  readonly mode: 'disk' | 'memory';
  /** Bytes of pieces (whole blocks) in memory and the tier's size. */
  readonly memory: {
    readonly used: number;
    readonly capacity: number;
    readonly pinned: number;
    readonly dirty: number;
  };
  /** Absent in memory mode. `degraded` says why the disk is not used now. */
  readonly disk?: DiskStat;
  readonly pieces: number;
  readonly blobs: number;
  readonly hits: { readonly memory: number; readonly disk: number };
  readonly misses: number;
  readonly evictions: number;
  /** Pieces whose CRC32C did not match when they were read from the disk, dropped. */
  readonly corrupt: number;
}

export interface PieceStore {
  /**
   * Bytes that one reader may have fetched ahead of itself without driving out what it has not read yet. Grows with
   * the tiers: a quarter of the disk tier, or half of the memory tier.
   */
  readonly readAheadBytes: number;
  /** Reserves memory for a piece of `length` bytes (1 to 4 MiB). Waits while everything is pinned or dirty: back-pressure. */
  reserve(key: PieceKey, length: number, signal?: AbortSignal): Promise<PieceWriter>;
  /** The piece, pinned, from whichever tier has it. Concurrent gets of one piece share one disk read. */
  get(key: PieceKey, signal?: AbortSignal): Promise<PinnedPiece | undefined>;
  /** Whether `get` would find the piece, without touching the disk or the eviction order. */
  has(key: PieceKey): boolean;
  /** Forgets all pieces of a blob; pinned ones as soon as they are released. */
  drop(digest: string): void;
  /** Whether every piece of the blob has been here, unbroken, since `markVerified`: then the blob need not be hashed again. */
  isVerified(digest: string): boolean;
  /** Called when the whole blob's SHA-256 was right. Forgotten as soon as one of its pieces leaves the store. */
  markVerified(digest: string): void;
  /** Every piece that is here now. */
  holdings(): Iterable<HeldPiece>;
  /** `listener` hears of each piece that leaves the store, as it leaves; it must not call back. One listener at a time. */
  onRemove(listener: (key: PieceKey) => void): void;
  stat(): StoreStat;
  /** Ends writes, waits for I/O in flight, gives memory back when the last pin is released. */
  close(): Promise<void>;
}

/** What is known of one blob in the store. */
export interface StoredBlob {
  readonly digest: string;
  readonly pieces: number;
  /** Bytes of its pieces. */
  readonly bytes: number;
  /** Pieces that are in each tier; one may be in both. */
  readonly memory: number;
  readonly disk: number;
  readonly verified: boolean;
  /** When its oldest piece was put, seconds since the epoch. */
  readonly storedAt: number;
}

/** For who looks after the cache: `shoal cache`. */
export interface StoreAdmin {
  stat(): StoreStat;
  /** The blobs, in no particular order. */
  list(): StoredBlob[];
  /** Drops what is older than `cacheTTL`. Returns how many pieces that were. */
  collectGarbage(): number;
  /** Reads every piece on the disk and drops the damaged ones. */
  verify(signal?: AbortSignal): Promise<{ readonly checked: number; readonly damaged: number }>;
  /** Drops everything. Returns how many pieces that were. */
  clear(): number;
}
