import { peersPerTake } from '../limits.ts';
import type { Agent } from './agent.ts';
import type { AgentSet } from './agent-set.ts';
import type { Agents } from './agents.ts';

/** A set of holders this small is looked through; of a larger one a few are drawn. */
const drawsPerPeer = 2;

/** Picks peers for a requester: at random, so that requesters spread, then the least busy of them first, and slow ones last. */
export class PeerChoice {
  readonly #agents: Agents;
  readonly #random: () => number;
  readonly #now: () => number;

  constructor(agents: Agents, random: () => number, now: () => number) {
    this.#agents = agents;
    this.#random = random;
    this.#now = now;
  }

  /**
   * Up to `peersPerTake` holders that the requester may be sent to; empty when there is none. A few random draws find
   * some of many holders; only when these are all unusable is every holder looked at.
   */
  from(holders: AgentSet, requester: Agent): Agent[] {
    const chosen: Agent[] = [];
    if (holders.size > peersPerTake * drawsPerPeer) {
      for (let draw = 0; draw < peersPerTake * drawsPerPeer && chosen.length < peersPerTake; draw += 1) {
        this.#take(holders.at(Math.floor(this.#random() * holders.size)), requester, chosen);
      }
    }
    if (chosen.length === 0) this.#takeFromAll(holders, requester, chosen);
    return chosen.sort((one, other) => this.#slowness(one) - this.#slowness(other) || one.load - other.load);
  }

  #slowness(agent: Agent): number {
    return this.#agents.isSlow(agent) ? 1 : 0;
  }

  #takeFromAll(holders: AgentSet, requester: Agent, chosen: Agent[]): void {
    const start = Math.floor(this.#random() * holders.size);
    for (let step = 0; step < holders.size && chosen.length < peersPerTake; step += 1) {
      this.#take(holders.at((start + step) % holders.size), requester, chosen);
    }
  }

  #take(slot: number, requester: Agent, chosen: Agent[]): void {
    const holder = this.#agents.at(slot);
    if (holder === undefined || holder === requester || chosen.includes(holder)) return;
    const until = requester.distrust.size > 0 ? requester.distrust.get(holder) : undefined;
    if (until === undefined) chosen.push(holder);
    else if (until <= this.#now()) {
      requester.distrust.delete(holder);
      chosen.push(holder);
    }
  }
}
