import type { Hello } from '../messages.ts';
import { Agent } from './agent.ts';

/** The agents that are joined now, by id and by slot. A slot is given again once its agent has left. */
export class Agents {
  readonly #slots: (Agent | undefined)[] = [];
  readonly #free: number[] = [];
  readonly #ids = new Map<string, Agent>();
  readonly #mirrors = new Set<Agent>();

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

  add(hello: Hello): Agent {
    const slot = this.#free.pop() ?? this.#slots.length;
    const agent = new Agent(slot, hello);
    this.#slots[slot] = agent;
    this.#ids.set(hello.id, agent);
    if (hello.role === 'mirror') this.#mirrors.add(agent);
    return agent;
  }

  remove(agent: Agent): void {
    agent.joined = false;
    this.#slots[agent.slot] = undefined;
    this.#free.push(agent.slot);
    this.#ids.delete(agent.hello.id);
    this.#mirrors.delete(agent);
    for (const other of this.#ids.values()) other.distrust.delete(agent);
  }
}
