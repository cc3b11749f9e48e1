import type { PullEngine } from '../pull/engine.ts';
import { preheatImage } from '../pull/preheat.ts';
import type { Logins } from '../registry/logins/types.ts';
import type { SwarmNode } from '../swarm/node.ts';
import { chooseNodes } from '../swarm/preheat/choose.ts';
import type { Preheat, PreheatResult } from '../swarm/preheat/types.ts';
import { headersOf, type TraceContext, traceContextOf } from '../telemetry/trace-context.ts';
import type { TraceScope } from '../telemetry/trace-scope.ts';
import { type NodeTime, preheatSpans } from './preheat-spans.ts';
import { scopeBelow, type Traces } from './traces.ts';

/** What came of one node. */
export type NodeResult = { readonly node: string } & (
  | ({ readonly ok: true } & PreheatResult)
  | { readonly ok: false; readonly error: string }
);

export interface PreheatQuestion {
  readonly image: string;
  readonly nodes: number;
  /** Of who asks. */
  readonly trace?: TraceContext | undefined;
}

/** Hears how a preheat goes on. */
export interface PreheatTeller {
  chosen(nodes: readonly string[]): void;
  ended(result: NodeResult): void;
}

/** What is told of it, in this order: the nodes, and then what came of each. */
export type PreheatNews = { readonly chosen: readonly string[] } | NodeResult;

/** Brings images into this node's cache and, on request of the command line, into those of others. */
export class Preheating {
  readonly #logins: Logins;
  #engine: PullEngine | undefined;
  #node: SwarmNode | undefined;
  #traces: Pick<Traces, 'export'> | undefined;

  constructor(logins: Logins) {
    this.#logins = logins;
  }

  /** From now on it can be asked: the swarm listens before the engine is there. */
  begin(engine: PullEngine, node: SwarmNode | undefined, traces?: Pick<Traces, 'export'>): void {
    this.#engine = engine;
    this.#node = node;
    this.#traces = traces;
  }

  /** This node's own part. Rejects with why it can't. */
  readonly preheat: Preheat = async (image, signal, trace) => {
    if (this.#engine === undefined) throw new Error('this node is about to start');
    const began = performance.now();
    const credentialsFor = ({ registry, repository }: { readonly registry: string; readonly repository: string }) =>
      this.#logins.credentialsFor(registry, { repository, signal });
    const preheated = await preheatImage(this.#engine, image, credentialsFor, signal, trace);
    return { ...preheated, seconds: (performance.now() - began) / 1000 };
  };

  /** So many nodes at once, this one if it is among them; on its own it is the only one. Resolves when all have ended. */
  async everywhere({ image, nodes, trace }: PreheatQuestion, teller: PreheatTeller): Promise<void> {
    const scope = this.#traces && scopeBelow(trace);
    const began = Date.now();
    const works = this.#works(image, nodes, (id) => contextFor(id, scope, trace));
    teller.chosen(works.map(({ id }) => id));
    const times: NodeTime[] = [];
    await Promise.all(
      works.map(async ({ id, start }) => {
        const result = await settle(id, start());
        times.push({ id, result, end: Date.now() });
        teller.ended(result);
      }),
    );
    if (scope) this.#traces?.export(preheatSpans({ image, began, end: Date.now(), nodes: times }, scope));
  }

  #works(image: string, nodes: number, contextOf: (id: string) => TraceContext | undefined): readonly Work[] {
    const node = this.#node;
    const own = (id: string): Work => ({
      id,
      start: () => this.preheat(image, new AbortController().signal, contextOf(id)),
    });
    if (node === undefined) return [own('this node')];
    return chooseNodes(node.membership.reachable(), image, nodes).map((member): Work => {
      const { id } = member;
      if (id === node.identity.id) return own(id);
      const context = contextOf(id);
      return { id, start: () => node.preheat(member, image, context && headersOf(context)) };
    });
  }
}

interface Work {
  readonly id: string;
  readonly start: () => Promise<PreheatResult>;
}

/** What a node is told: its own span below the preheat's where that is recorded, else what the asker said. */
function contextFor(
  id: string,
  scope: TraceScope | undefined,
  trace: TraceContext | undefined,
): TraceContext | undefined {
  if (scope === undefined) return trace;
  const { traceparent, tracestate } = scope.headersFor(id);
  return traceContextOf(traceparent, tracestate);
}

async function settle(node: string, work: Promise<PreheatResult>): Promise<NodeResult> {
  try {
    return { node, ok: true, ...(await work) };
  } catch (error) {
    return { node, ok: false, error: error instanceof Error ? error.message : String(error) };
  }
}
