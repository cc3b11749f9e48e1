import type { ByteSource, ObservedPiece } from './observer.ts';

/** Somebody who gave bytes. */
export interface SenderView {
  /** A member's id, or a registry's host; `others` for those that are not told apart any more. */
  readonly id: string;
  readonly source: ByteSource;
  readonly zone?: string;
  readonly bytes: number;
}

const others = 'others';

/** Who gave how much; only the first so many are told apart. */
export class Senders {
  readonly #most: number;
  readonly #senders = new Map<string, { readonly source: ByteSource; zone?: string; bytes: number }>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Nodes among them. */
  get peers(): number {
    let count = 0;
    for (const { source } of this.#senders.values()) if (source !== 'origin') count += 1;
    return count;
  }

  /** Counts the piece, unless it came from the node's own cache. */
  add({ from, source, zone, bytes }: ObservedPiece): void {
    if (from === undefined) return;
    const known = this.#senders.get(from);
    if (known !== undefined) {
      known.bytes += bytes;
      // A node's zone may become known later.
      if (zone !== undefined) known.zone = zone;
    } else if (this.#senders.size < this.#most || from === others) {
      this.#senders.set(from, { source, bytes, ...(zone !== undefined && { zone }) });
    } else {
      this.add({ from: others, source, bytes, digest: '', index: 0 });
    }
  }

  /** The one with the most bytes first. */
  view(): SenderView[] {
    return [...this.#senders].map(([id, sender]) => ({ id, ...sender })).sort((a, b) => b.bytes - a.bytes);
  }
}
