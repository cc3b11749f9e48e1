import type { PullEngine } from '../pull/engine.ts';
import { preheatImage } from '../pull/preheat.ts';
import type { Logins } from '../registry/logins/types.ts';
import type { SwarmNode } from '../swarm/node.ts';
import { chooseNodes } from '../swarm/preheat/choose.ts';
import type { PreheatResult } from '../swarm/preheat/types.ts';

/** What came of one node. */
export type NodeResult = { readonly node: string } & (
  | ({ readonly ok: true } & PreheatResult)
  | { readonly ok: false; readonly error: string }
);

/** Brings images into this node's cache and, on request of the command line, into those of others. */
export class Preheating {
  readonly #logins: Logins;
  #engine: PullEngine | undefined;
  #node: SwarmNode | undefined;

  constructor(logins: Logins) {
    this.#logins = logins;
  }

  /** From now on it can be asked: the swarm listens before the engine is there. */
  begin(engine: PullEngine, node: SwarmNode | undefined): void {
    this.#engine = engine;
    this.#node = node;
  }

  /** This node's own part. Rejects with why it can't. */
  readonly preheat = async (image: string, signal: AbortSignal): Promise<PreheatResult> => {
    if (this.#engine === undefined) throw new Error('this node is about to start');
    const began = performance.now();
    const credentialsFor = ({ registry, repository }: { readonly registry: string; readonly repository: string }) =>
      this.#logins.credentialsFor(registry, { repository, signal });
    const preheated = await preheatImage(this.#engine, image, credentialsFor, signal);
    return { ...preheated, seconds: (performance.now() - began) / 1000 };
  };

  /** So many nodes at once, this one if it is among them; on its own it is the only one. */
  async everywhere(image: string, nodes: number): Promise<NodeResult[]> {
    const node = this.#node;
    const never = new AbortController().signal;
    if (node === undefined) return [await settle('this node', this.preheat(image, never))];
    const chosen = chooseNodes(node.membership.reachable(), image, nodes);
    return await Promise.all(
      chosen.map((member) =>
        settle(member.id, member.id === node.identity.id ? this.preheat(image, never) : node.preheat(member, image)),
      ),
    );
  }
}

async function settle(node: string, work: Promise<PreheatResult>): Promise<NodeResult> {
  try {
    return { node, ok: true, ...(await work) };
  } catch (error) {
    return { node, ok: false, error: error instanceof Error ? error.message : String(error) };
  }
}
