import type { DiskTier } from './disk-tier.ts';
import type { MemoryTier } from './memory-tier.ts';
import type { Blob, Piece } from './piece.ts';
import type { PieceTable } from './piece-table.ts';
import type { StoredBlob } from './types.ts';

/** How often what is older than the ttl is looked for; `get` never gives it, whether it was found or not. */
const sweepEveryMs = 60_000;

export interface HousekeepingOptions {
  readonly table: PieceTable;
  readonly memory: MemoryTier<Piece>;
  readonly disk: DiskTier | undefined;
  /** Seconds after which a piece is gone; absent: never. */
  readonly ttl: number | undefined;
  /** Seconds since the epoch. */
  readonly now: () => number;
  readonly forget: (piece: Piece) => void;
}

/** Looks after what is in the store: what is there, what is too old, what is damaged. */
export class Housekeeping {
  readonly #options: HousekeepingOptions;
  #sweepTimer: NodeJS.Timeout | undefined;

  constructor(options: HousekeepingOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#options.ttl === undefined) return;
    this.#sweepTimer = setInterval(() => this.collectGarbage(), sweepEveryMs).unref();
  }

  stop(): void {
    clearInterval(this.#sweepTimer);
  }

  isExpired(storedAt: number): boolean {
    const { ttl, now } = this.#options;
    return ttl !== undefined && now() - storedAt >= ttl;
  }

  list(): StoredBlob[] {
    return [...this.#options.table.allBlobs()].map(describeBlob);
  }

  collectGarbage(): number {
    return this.#forgetAll((piece) => this.isExpired(piece.storedAt));
  }

  clear(): number {
    return this.#forgetAll(() => true);
  }

  /** See `StoreAdmin`. */
  async verify(signal?: AbortSignal): Promise<{ checked: number; damaged: number }> {
    const { table, memory, disk, forget } = this.#options;
    const sums = { checked: 0, damaged: 0 };
    for (const piece of [...table]) {
      if (piece.gone || !piece.extent || !disk?.usable) continue;
      const frame = await memory.acquire(piece.id, piece.length, 'read', signal);
      try {
        if (piece.gone || !piece.extent) continue;
        sums.checked += 1;
        if (await disk.read(piece, frame)) continue;
        sums.damaged += 1;
        forget(piece);
      } finally {
        memory.giveBack(frame);
      }
    }
    return sums;
  }

  #forgetAll(condition: (piece: Piece) => boolean): number {
    const pieces = [...this.#options.table].filter(condition);
    for (const piece of pieces) this.#options.forget(piece);
    return pieces.length;
  }
}

function describeBlob({ digest, pieces, verified }: Blob): StoredBlob {
  const all = [...pieces.values()];
  return {
    digest,
    pieces: all.length,
    bytes: all.reduce((sum, { length }) => sum + length, 0),
    memory: all.filter(({ frame }) => frame).length,
    disk: all.filter(({ extent }) => extent).length,
    verified,
    storedAt: all.reduce((oldest, { storedAt }) => Math.min(oldest, storedAt), Number.POSITIVE_INFINITY),
  };
}
