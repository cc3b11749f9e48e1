import type { Piece } from './piece.ts';

interface Origin {
  leases: number;
  /** Pieces whose lease has to wait: those that a reader waits for before the others, else first come first served. */
  readonly urgent: Set<Piece>;
  readonly waiting: Set<Piece>;
}

/**
 * How many leases the whole swarm should have out at one origin: enough to keep its link busy over the round trips, few
 * enough that each piece comes soon and can be passed on. With four leases for each of 64 nodes, nothing was complete
 * for the first third of a pull (docs/swarm.md).
 */
export const leasesPerOrigin = 32;

/** What this shard has out at each origin (`<registry>/<repository>`), and what has to wait for it. */
export class Origins {
  readonly #origins = new Map<string, Origin>();
  /** Leases that this shard may have out at one origin: its share of the swarm's, as nobody sees the others'. */
  #share: number;

  constructor(shards: number) {
    this.#share = shareOf(shards);
  }

  resize(shards: number): void {
    this.#share = shareOf(shards);
  }

  /** Books a lease for the piece if its origin has room for one; otherwise the piece waits for its turn. */
  claim(piece: Piece): boolean {
    let origin = this.#origins.get(piece.source);
    if (origin === undefined) {
      origin = { leases: 0, urgent: new Set(), waiting: new Set() };
      this.#origins.set(piece.source, origin);
    }
    origin.urgent.delete(piece);
    origin.waiting.delete(piece);
    if (origin.leases >= this.#share) {
      (piece.urgent > 0 ? origin.urgent : origin.waiting).add(piece);
      return false;
    }
    origin.leases += 1;
    return true;
  }

  /** Gives back what `claim` booked. */
  release(piece: Piece): void {
    const origin = this.#origins.get(piece.source);
    if (origin === undefined) return;
    origin.leases -= 1;
    this.#closeIdle(piece.source, origin);
  }

  /** A piece whose turn it is; undefined when there is none. It may have found a holder meanwhile. */
  next(source: string): Piece | undefined {
    const origin = this.#origins.get(source);
    if (origin === undefined || origin.leases >= this.#share) return undefined;
    for (const pieces of [origin.urgent, origin.waiting]) {
      for (const piece of pieces) {
        pieces.delete(piece);
        return piece;
      }
    }
    return undefined;
  }

  /** The piece needs no lease any more. */
  forget(piece: Piece): void {
    const origin = this.#origins.get(piece.source);
    if (origin === undefined) return;
    origin.urgent.delete(piece);
    origin.waiting.delete(piece);
    this.#closeIdle(piece.source, origin);
  }

  #closeIdle(source: string, origin: Origin): void {
    if (origin.leases === 0 && origin.waiting.size === 0 && origin.urgent.size === 0) this.#origins.delete(source);
  }
}

function shareOf(shards: number): number {
  return Math.max(1, Math.ceil(leasesPerOrigin / shards));
}
