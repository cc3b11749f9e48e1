import type { Native } from '../native/types.ts';
import type { PieceStore } from '../store/types.ts';
import { Blob } from './blob.ts';
import type { BlobFetcher } from './fetching.ts';
import { PieceLayout } from './layout.ts';
import type { Source } from './source.ts';
import { PullError } from './types.ts';

export interface BlobTableOptions {
  readonly store: PieceStore;
  readonly native: Native;
  readonly blockBytes: number;
  readonly fetcher: BlobFetcher;
  /** A blob's SHA-256 was wrong. */
  readonly onMismatch: (digest: string) => void;
}

/** A blob held in the table. `release` exactly once. */
export interface BlobLease {
  readonly blob: Blob;
  release(): void;
}

interface Entry {
  readonly blob: Blob;
  leases: number;
  /** How many leases stand on each source: its credentials go when the last one does. */
  readonly sources: Map<Source, number>;
}

/** The blobs that somebody is interested in now, one object a digest, so that all pulls of a blob share its download. */
export class BlobTable {
  readonly #options: BlobTableOptions;
  readonly #entries = new Map<string, Entry>();

  constructor(options: BlobTableOptions) {
    this.#options = options;
  }

  /**
   * `source` may fetch the blob for as long as the lease lasts. `rank`: the blob's place in the manifest. Throws a
   * `PullError` when two descriptors disagree on the size.
   */
  acquire(digest: string, size: number, source: Source, rank: number): BlobLease {
    const entry = this.#entry(digest, size);
    const { blob } = entry;
    blob.rank = Math.min(blob.rank, rank);
    entry.leases += 1;
    entry.sources.set(source, (entry.sources.get(source) ?? 0) + 1);
    blob.sources.add(source);
    return {
      blob,
      release: () => {
        const left = (entry.sources.get(source) ?? 1) - 1;
        if (left > 0) entry.sources.set(source, left);
        else {
          entry.sources.delete(source);
          blob.sources.delete(source);
        }
        entry.leases -= 1;
        if (entry.leases > 0) return;
        this.#entries.delete(digest);
        this.#options.fetcher.remove(blob);
      },
    };
  }

  #entry(digest: string, size: number): Entry {
    const known = this.#entries.get(digest);
    if (known !== undefined) {
      if (known.blob.layout.size === size) return known;
      throw new PullError(
        'unavailable',
        `${digest}: one manifest tells ${known.blob.layout.size} bytes, another one ${size}`,
      );
    }
    const { store, native, blockBytes, fetcher, onMismatch } = this.#options;
    const layout = new PieceLayout(size, blockBytes);
    const blob: Blob = new Blob({
      digest,
      layout,
      store,
      native,
      onDemand: () => fetcher.poke(),
      onSpoiled: () => {
        onMismatch(digest);
        fetcher.spoiled(blob);
      },
    });
    const entry: Entry = { blob, leases: 0, sources: new Map() };
    this.#entries.set(digest, entry);
    fetcher.add(blob);
    return entry;
  }
}
