import { defaultLimits } from '../limits.ts';
import type { BlobPlacement, Placement } from '../placement.ts';

/** Blobs whose placement is kept: more than a node brings at once. */
const mostPlacements = 1_024;

/** A placement, with the blobs that were asked about last. */
export class View {
  readonly placement: Placement;
  readonly #blobs = new Map<string, BlobPlacement>();

  constructor(placement: Placement) {
    this.placement = placement;
  }

  shardOf(blob: string, piece: number): string | undefined {
    let known = this.#blobs.get(blob);
    if (known === undefined) {
      if (this.#blobs.size >= mostPlacements) this.#blobs.clear();
      known = this.placement.blob(blob);
      this.#blobs.set(blob, known);
    }
    return known.shardOf(piece);
  }
}

/** What a shard keeps of one agent's holdings is bounded: no more is told to it, or taken back. */
export class Budget {
  readonly #spent = new Map<string, number>();

  take(what: string): boolean {
    const spent = this.#spent.get(what) ?? 0;
    if (spent >= defaultLimits.holdingsPerAgent) return false;
    this.#spent.set(what, spent + 1);
    return true;
  }
}
