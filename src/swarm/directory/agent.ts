import type { Hello } from '../messages.ts';
import type { Piece } from './piece.ts';
import type { Want } from './want.ts';

/** One stream's agent, as one shard knows it. */
export class Agent {
  /** A small number, unique among the agents now joined and used again after it left. */
  readonly slot: number;
  hello: Hello;
  joined = true;
  /** Open wants and, for mirrors, leases that they did not ask for. */
  readonly wants = new Map<Piece, Want>();
  holdings = 0;
  /** Decisions of this shard that name the agent as the first peer and are not settled yet. */
  uploads = 0;
  /** When it last asked for a piece that it would fetch itself. Milliseconds of the shard's clock. */
  offeredAt = Number.NEGATIVE_INFINITY;
  /** Peers that failed this agent, and until when it is not sent to them. Milliseconds of the shard's clock. */
  readonly distrust = new Map<Agent, number>();
  /** Ids of those who found its bytes wrong. */
  readonly accusers = new Set<string>();
  /** Too many accusers: it is no holder any more, whatever it announces. */
  banned = false;

  constructor(slot: number, hello: Hello) {
    this.slot = slot;
    this.hello = hello;
  }

  /** How busy this shard keeps the agent, relative to what it can take. */
  get load(): number {
    return this.uploads / this.hello.slots;
  }
}
