import type { Peer } from '../messages.ts';
import type { Target } from './target.ts';

/** Where a piece of the window stands. */
export type Phase =
  /** In the window, its shard not asked yet. */
  | 'idle'
  /** Its shard was asked and has not decided. */
  | 'undecided'
  /** To be taken from peers as soon as a download is free. */
  | 'ready'
  | 'downloading'
  /** On its way from the origin. */
  | 'fetching'
  /** Every peer named was busy or failed: asked for again after a pause. */
  | 'resting'
  /** Here, or no longer wanted. */
  | 'done';

/** One piece on its way here. */
export class Request {
  readonly target: Target;
  readonly piece: number;
  phase: Phase = 'idle';
  /** The shard was told that a lease would be taken. */
  lease = false;
  urgent = false;
  /** A shard has named peers that have it. */
  available = false;
  /** What the shard said of the bytes; undefined when nobody says anything. */
  crc32c: number | undefined;
  /** Named by the shard and not tried yet. */
  untried: Peer[] = [];
  /** Being downloaded from; two when hedged. */
  readonly sources = new Set<string>();
  /** When the download began. Milliseconds. */
  since = 0;
  /** Times that every peer named was tried in vain. */
  attempts = 0;
  restsUntil = 0;

  constructor(target: Target, piece: number) {
    this.target = target;
    this.piece = piece;
  }
}
