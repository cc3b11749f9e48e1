import path from 'node:path';
import { packageRoot, packageVersion } from '../paths.ts';
import { Conditions, describeConditions, type Finding, isReady } from '../telemetry/conditions.ts';
import { type Answer, HttpServer, json, text } from '../telemetry/http-server.ts';
import type { Logger } from '../telemetry/log.ts';
import { MetricPage } from '../telemetry/metric-page.ts';
import { ProcessWatch } from '../telemetry/process-watch.ts';
import { readSite } from '../telemetry/site.ts';
import type { EngineLife } from './engine-process.ts';
import { acrMetrics } from './metrics/acr-metrics.ts';
import { cacheMetrics } from './metrics/cache-metrics.ts';
import { eventMetrics } from './metrics/event-metrics.ts';
import { type NodeView, nodeMetrics } from './metrics/node-metrics.ts';
import { pullMetrics } from './metrics/pull-metrics.ts';
import { swarmMetrics } from './metrics/swarm-metrics.ts';
import type { EngineSnapshot, Observables } from './observation.ts';
import type { SupervisorStat } from './supervisor-watch.ts';

/** Asks the engine; rejects while it is away. */
export type Observe = <About extends keyof Observables>(about: About, name?: string) => Promise<Observables[About]>;

export interface TelemetryOptions {
  readonly host: string;
  /** 0: not served. */
  readonly port: number;
  readonly observe: Observe;
  /** Absent where the engine has no supervisor. */
  readonly supervisor?: () => SupervisorStat;
  readonly log: Logger;
}

/** What `/api/status` gives. */
export interface NodeStatus extends NodeView {
  readonly ready: boolean;
}

const lookEveryMs = 5_000;

/**
 * Metrics, health and the status page of a node on one port. They are served beside the engine, not by it, so that they
 * answer while it is away.
 */
export class Telemetry {
  readonly #options: TelemetryOptions;
  readonly #server: HttpServer;
  readonly #process = new ProcessWatch();
  readonly #conditions = new Conditions(Date.now);
  readonly #nodePage = new MetricPage(nodeMetrics);
  readonly #pullPage = new MetricPage(pullMetrics);
  readonly #cachePage = new MetricPage(cacheMetrics);
  readonly #swarmPage = new MetricPage(swarmMetrics);
  readonly #acrPage = new MetricPage(acrMetrics);
  readonly #eventPage = new MetricPage(eventMetrics);
  readonly #site: Promise<ReadonlyMap<string, Answer>>;
  readonly #timer: NodeJS.Timeout;

  constructor(options: TelemetryOptions) {
    this.#options = options;
    this.#site = readSite(path.join(packageRoot, 'web'));
    // Awaited by those who ask for it.
    this.#site.catch(() => undefined);
    this.#server = new HttpServer({ ...options, route: (asked) => this.#route(asked) });
    // Nobody may ask for long; "since when" shall be right all the same.
    this.#timer = setInterval(() => void this.#view(), lookEveryMs).unref();
  }

  get address(): { readonly host: string; readonly port: number } | undefined {
    return this.#server.address;
  }

  async listen(): Promise<void> {
    if (this.#options.port !== 0) await this.#server.listen();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#process.close();
    await this.#server.close();
  }

  async #route(asked: string): Promise<Answer | undefined> {
    switch (asked) {
      case '/metrics':
        return this.#metrics();
      case '/livez':
        // Whoever gets this has an answer: the process lives. What is out of order is told, too.
        return text(200, describeConditions((await this.#view()).conditions));
      case '/readyz': {
        const { conditions } = await this.#view();
        return text(isReady(conditions) ? 200 : 503, describeConditions(conditions));
      }
      case '/api/status': {
        const view = await this.#view();
        return json({ ...view, ready: isReady(view.conditions) } satisfies NodeStatus);
      }
      case '/api/pulls':
        return this.#asked('pulls');
      case '/api/peers':
        return this.#asked('peers');
    }
    const pull = /^\/api\/pulls\/(\d{1,15})$/.exec(asked)?.[1];
    if (pull !== undefined) return this.#asked('pull', pull);
    return (await this.#site).get(asked);
  }

  async #metrics(): Promise<Answer> {
    const view = await this.#view();
    const { pulls, mirror, store, swarm } = view.engine ?? {};
    const pages = await Promise.all([
      this.#nodePage.render(view),
      pulls && mirror && this.#pullPage.render({ pulls, mirror }),
      store && this.#cachePage.render(store),
      swarm && this.#swarmPage.render(swarm),
      view.engine && this.#acrPage.render(view.engine),
      view.engine?.events && this.#eventPage.render(view.engine),
    ]);
    return { status: 200, type: this.#nodePage.contentType, body: pages.filter(Boolean).join('\n') };
  }

  async #asked(about: 'pulls' | 'peers' | 'pull', name?: string): Promise<Answer | undefined> {
    try {
      const answer = await this.#options.observe(about, name);
      return answer === null ? undefined : json(answer);
    } catch (error) {
      return text(503, `the engine does not answer: ${reasonOf(error)}\n`);
    }
  }

  async #view(): Promise<NodeView> {
    const { observe, supervisor } = this.#options;
    const answer = await observe('snapshot').catch(reasonOf);
    const engine = typeof answer === 'string' ? undefined : answer;
    const stat = supervisor?.();
    const own = this.#conditions.update([engineFinding(answer, stat?.engine)]);
    return {
      version: packageVersion(),
      node: process.version,
      ...(stat && { supervisor: stat }),
      processes: {
        ...(stat && { supervisor: this.#process.stat() }),
        ...(engine && { engine: engine.process }),
      },
      ...(engine && { engine }),
      conditions: [...own, ...(engine?.conditions ?? [])],
    };
  }
}

/** `answer`: the engine's snapshot, or why there is none. */
function engineFinding(answer: EngineSnapshot | string, life: EngineLife | undefined): Finding {
  if (typeof answer !== 'string') return { name: 'engine', state: 'ok' };
  return { name: 'engine', state: 'failed', reason: engineReason(answer, life) };
}

function engineReason(reason: string, life: EngineLife | undefined): string {
  const end = life?.lastEnd === undefined ? '' : ` (it ended with ${life.lastEnd})`;
  switch (life?.state) {
    case 'restarting':
      return `engine restarting since ${life.since}${end}`;
    case 'stopped':
      return 'the agent is starting or stopping';
    case 'running':
      return `the engine runs since ${life.since} and does not answer${end}`;
    case undefined:
      return reason;
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
