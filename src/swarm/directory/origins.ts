import type { Piece } from './piece.ts';

interface Origin {
  leases: number;
  /** Leases that this shard may have out: its share of the swarm's, as nobody sees the others'. */
  share: number;
  /** Pieces whose lease has to wait: those that a reader waits for before the others, else first come first served. */
  readonly urgent: Set<Piece>;
  readonly waiting: Set<Piece>;
}

/**
 * Leases that the whole swarm has out at one origin to begin with, and at most. They have to keep its link busy over the round trips, and
 * every shard has its own share, of which it seldom uses all: what is left of a layer may be in the hands of few. But with many, pieces
 * are long under way, and until one is complete nobody can pass it on: so there are more than at first only while they end soon.
 */
export const firstLeases = 32;
const mostLeases = 128;
/** Milliseconds from a lease to its piece: sooner than that the origin has room for more leases, later it has too many. */
const soon = 1_000;
const late = 4_000;

/** What this shard has out at each origin (`<registry>/<repository>`), and what has to wait for it. */
export class Origins {
  readonly #origins = new Map<string, Origin>();
  readonly #now: () => number;
  #shards: number;

  /** `now`: milliseconds, never going back. */
  constructor(shards: number, now: () => number) {
    this.#shards = shards;
    this.#now = now;
  }

  resize(shards: number): void {
    this.#shards = shards;
    for (const origin of this.#origins.values()) origin.share = Math.min(origin.share, this.#shareOf(mostLeases));
  }

  /** Books a lease for the piece if its origin has room for one; otherwise the piece waits for its turn. */
  claim(piece: Piece): boolean {
    let origin = this.#origins.get(piece.source);
    if (origin === undefined) {
      origin = { leases: 0, share: this.#shareOf(firstLeases), urgent: new Set(), waiting: new Set() };
      this.#origins.set(piece.source, origin);
    }
    origin.urgent.delete(piece);
    origin.waiting.delete(piece);
    if (origin.leases >= origin.share) {
      (piece.urgent > 0 ? origin.urgent : origin.waiting).add(piece);
      return false;
    }
    origin.leases += 1;
    piece.leasedAt = this.#now();
    return true;
  }

  /** A lease has brought its piece: how long that took says what the origin has room for. To be called before `release`. */
  arrived({ source, leasedAt }: Piece): void {
    const origin = this.#origins.get(source);
    if (origin === undefined) return;
    const took = this.#now() - leasedAt;
    if (took <= soon) origin.share = Math.min(this.#shareOf(mostLeases), origin.share + 1);
    else if (took > late) origin.share = Math.max(1, origin.share - 1);
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
    if (origin === undefined || origin.leases >= origin.share) return undefined;
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

  #shareOf(leases: number): number {
    return Math.max(1, Math.ceil(leases / this.#shards));
  }
}
