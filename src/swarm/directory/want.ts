import type { Agent } from './agent.ts';
import type { Piece } from './piece.ts';

/** What was decided on a want. */
export type Grant =
  /** Nothing yet. */
  | 'none'
  /** Taken from a peer of the same zone. */
  | 'take'
  /** Taken from a peer of another zone, for the whole zone. */
  | 'crossing'
  /** Fetched from the origin, for the whole swarm. */
  | 'lease';

export interface WantOptions {
  readonly lease: boolean;
  readonly urgent: boolean;
  readonly asked: boolean;
}

/** One agent's wish for one piece, and what became of it. */
export class Want {
  readonly agent: Agent;
  readonly piece: Piece;
  /** The agent has a lease to spare for it. */
  readonly lease: boolean;
  readonly urgent: boolean;
  /** False for the lease that a mirror is given unasked. */
  readonly asked: boolean;
  grant: Grant = 'none';
  /** When the grant lapses unless progress is reported. */
  deadline = 0;
  /** The first of the peers that the grant names. */
  uploader: Agent | undefined;

  constructor(agent: Agent, piece: Piece, options: WantOptions) {
    this.agent = agent;
    this.piece = piece;
    this.lease = options.lease;
    this.urgent = options.urgent;
    this.asked = options.asked;
  }
}
