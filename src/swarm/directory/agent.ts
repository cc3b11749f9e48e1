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
  /** How long its leases took, as a moving average. Milliseconds; undefined before the first. */
  #leaseTime: number | undefined;
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

  /** A lease ended with the piece. Milliseconds. */
  leaseTook(duration: number): void {
    this.#leaseTime = this.#leaseTime === undefined ? duration : this.#leaseTime * 0.7 + duration * 0.3;
  }

  /**
   * How slow its leases are, roughly: each step is twice as long. A node's slots tell of a slow link only after seconds; its
   * first leases do at once. One that had none counts as quick, so that it is tried.
   */
  get leasePace(): number {
    return this.#leaseTime === undefined ? 0 : Math.max(0, Math.round(Math.log2(this.#leaseTime)));
  }

  /** How busy this shard keeps the agent, relative to what it can take. */
  get load(): number {
    return this.uploads / this.hello.slots;
  }
}
