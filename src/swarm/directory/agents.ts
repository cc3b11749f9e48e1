import type { Hello, HelloUpdate } from '../messages.ts';
import { Agent } from './agent.ts';

/** A quarter of what is usual, as a power of two: so slow is no coincidence. */
const slowBy = 2;
/** What is usual is told by so many agents that know their pace, of so many looked at: found out anew whenever one's has changed. */
const pacesCompared = 64;
const agentsLookedAt = 1_024;

/** The agents that are joined now, by id and by slot. A slot is given again once its agent has left. */
export class Agents {
  readonly #slots: (Agent | undefined)[] = [];
  readonly #free: number[] = [];
  readonly #ids = new Map<string, Agent>();
  readonly #mirrors = new Set<Agent>();
  /** Undefined: something has changed since it was found out. */
  #usualPace: number | undefined;

  get size(): number {
    return this.#ids.size;
  }

  get mirrors(): Iterable<Agent> {
    return this.#mirrors;
  }

  at(slot: number): Agent | undefined {
    return this.#slots[slot];
  }

  byId(id: string): Agent | undefined {
    return this.#ids.get(id);
  }

  /** Whether its link is much slower than most agents'. One whose pace is not known is not. */
  isSlow(agent: Agent): boolean {
    return this.lag(agent) >= slowBy;
  }

  /** By how many powers of two its link is slower than most agents'; 0 while its pace is not known. */
  lag({ hello: { pace } }: Agent): number {
    return pace === 0 ? 0 : this.#usual() - pace;
  }

  /** The median of the paces that are known, the higher one of two. */
  #usual(): number {
    if (this.#usualPace !== undefined) return this.#usualPace;
    const paces: number[] = [];
    let left = agentsLookedAt;
    for (const { hello } of this.#ids.values()) {
      if (hello.pace > 0) paces.push(hello.pace);
      left -= 1;
      if (paces.length === pacesCompared || left === 0) break;
    }
    paces.sort((one, other) => one - other);
    this.#usualPace = paces[paces.length >> 1] ?? 0;
    return this.#usualPace;
  }

  /** The agent's link was measured anew, or a mirror takes more or fewer leases. */
  update(agent: Agent, values: HelloUpdate): void {
    agent.hello = { ...agent.hello, ...values };
    this.#usualPace = undefined;
  }

  add(hello: Hello): Agent {
    const slot = this.#free.pop() ?? this.#slots.length;
    const agent = new Agent(slot, hello);
    this.#slots[slot] = agent;
    this.#ids.set(hello.id, agent);
    this.#usualPace = undefined;
    if (hello.role === 'mirror') this.#mirrors.add(agent);
    return agent;
  }

  remove(agent: Agent): void {
    agent.joined = false;
    this.#slots[agent.slot] = undefined;
    this.#free.push(agent.slot);
    this.#ids.delete(agent.hello.id);
    this.#mirrors.delete(agent);
    this.#usualPace = undefined;
    for (const other of this.#ids.values()) other.distrust.delete(agent);
  }
}
