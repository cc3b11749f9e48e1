import { Backoff } from '../backoff.ts';
import type { Clock } from '../clock.ts';
import type { Logger } from '../telemetry/log.ts';
import { TokenBucket } from '../token-bucket.ts';
import { type EventSource, eventContent, eventName, repetition } from './event-content.ts';
import { type EventFailure, judgeFailure } from './event-failure.ts';
import { type CountedEvent, EventQueue, type PodEvent } from './event-queue.ts';
import { events } from './resources.ts';
import type { KubernetesEditor } from './types.ts';

export interface EventRecorderOptions {
  /** Closed with the recorder. */
  readonly client: Pick<KubernetesEditor, 'create' | 'patch' | 'close'>;
  readonly source: EventSource;
  readonly clock: Clock;
  /** Milliseconds since the epoch. */
  readonly wall: () => number;
  readonly log: Logger;
}

/** Events since the start; a repetition counts as one. */
export interface EventCounts {
  readonly written: number;
  /** Given up: refused, or the API server was away for too long. */
  readonly lost: number;
}

/** A node that starts many pods at once writes some at once; 10,000 nodes must not be a load that counts. */
const pace = { rate: 1, burst: 16 };
/** Milliseconds of waiting after a failure, at first and at most. */
const firstWaitMs = 1_000;
const longestWaitMs = 60_000;
/** Milliseconds for which no event goes to a namespace where RBAC allows none. */
const forbiddenForMs = 10 * 60_000;
/** Namespaces that are remembered for that. */
const mostForbidden = 1024;
/** Milliseconds that the end may take. */
const farewellMs = 1_000;

const rule = 'rules: [{apiGroups: [""], resources: [events], verbs: [create, patch]}]';

/**
 * Writes events beside whatever goes on: `record` neither waits nor fails, and an API server that is away, slow or refuses costs
 * events and nothing else.
 */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #queue = new EventQueue();
  readonly #bucket: TokenBucket;
  readonly #backoff: Backoff;
  /** Monotonic milliseconds until which a namespace gets none. */
  readonly #forbidden = new Map<string, number>();
  /** No more waiting: what is there is written, or given up. */
  readonly #ending = new AbortController();
  readonly #closed = new AbortController();
  readonly #running: Promise<void>;
  #wake = Promise.withResolvers<void>();
  #written = 0;
  #away = false;
  readonly #told = new Set<EventFailure['kind']>();

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    const { clock } = options;
    const { random } = clock;
    this.#bucket = new TokenBucket({ ...pace, now: () => clock.now() });
    this.#backoff = new Backoff({ firstMs: firstWaitMs, longestMs: longestWaitMs, random });
    this.#running = this.#run();
  }

  get counts(): EventCounts {
    return { written: this.#written, lost: this.#queue.lost };
  }

  record(event: PodEvent): void {
    if (this.#ending.signal.aborted) return;
    this.#queue.add(event, this.#options.wall());
    this.#wake.resolve();
  }

  /** Writes what waits, as far as that goes within a second. */
  async close(): Promise<void> {
    const { clock, client } = this.#options;
    this.#ending.abort(new Error('no more events'));
    this.#wake.resolve();
    const ended = new AbortController();
    const late = clock.sleep(farewellMs, ended.signal).then(
      () => this.#closed.abort(new Error('the events that wait are given up')),
      () => undefined,
    );
    await this.#running;
    ended.abort();
    await late;
    await client.close();
  }

  async #run(): Promise<void> {
    const { wall } = this.#options;
    const { signal: ending } = this.#ending;
    while (!this.#closed.signal.aborted) {
      if (this.#queue.length > 0) await this.#pause(this.#bucket.wait(1));
      const event = this.#queue.take(wall());
      if (event === undefined) {
        if (ending.aborted) return;
        await this.#wake.promise;
        this.#wake = Promise.withResolvers<void>();
        continue;
      }
      const waitMs = await this.#deal(event);
      if (waitMs > 0 && ending.aborted) return;
      await this.#pause(waitMs);
    }
  }

  /** Cut short by the end: then there is no time to wait. */
  async #pause(milliseconds: number): Promise<void> {
    if (milliseconds > 0) await this.#options.clock.sleep(milliseconds, this.#ending.signal).catch(() => {});
  }

  /** Writes the event, if that can be. Milliseconds to wait before the next. */
  async #deal(event: CountedEvent): Promise<number> {
    const { clock } = this.#options;
    const { namespace } = event.pod;
    if ((this.#forbidden.get(namespace) ?? Number.NEGATIVE_INFINITY) > clock.now()) {
      this.#queue.lose(event);
      return 0;
    }
    this.#bucket.take(1);
    const known = this.#queue.writtenAs(event, event.last);
    try {
      if (known === undefined) await this.#create(event);
      else await this.#countUp(event, known);
      this.#succeeded();
      this.#written += event.count;
      return 0;
    } catch (error) {
      return this.#failed(event, error, judgeFailure(error, known === undefined ? 'create' : 'patch'));
    }
  }

  async #create(event: CountedEvent): Promise<void> {
    const { client, source } = this.#options;
    const { first, last, count } = event;
    const name = eventName(event, source);
    try {
      await client.create(events(event.pod.namespace), eventContent(event, name, source), this.#closed.signal);
    } catch (error) {
      // The name is this event's alone: it was written, and the answer got lost.
      if (judgeFailure(error, 'create').kind !== 'there') throw error;
    }
    this.#queue.wrote(event, { name, first, last, count });
  }

  async #countUp(event: CountedEvent, known: { name: string; first: number; count: number }): Promise<void> {
    const { client } = this.#options;
    const counted = { ...event, first: known.first, count: known.count + event.count };
    await client.patch(events(event.pod.namespace), known.name, repetition(counted), this.#closed.signal);
    const { first, last, count } = counted;
    this.#queue.wrote(event, { name: known.name, first, last, count });
  }

  #succeeded(): void {
    this.#backoff.succeeded();
    if (!this.#away) return;
    this.#away = false;
    this.#options.log.info('the Kubernetes API takes events again');
  }

  #failed(event: CountedEvent, error: unknown, failure: EventFailure): number {
    if (this.#closed.signal.aborted) {
      this.#queue.lose(event);
      return 0;
    }
    const { namespace } = event.pod;
    switch (failure.kind) {
      case 'retry':
        return this.#retry(event, error, failure.waitMs);
      case 'missing':
        this.#queue.forget(event);
        this.#queue.putBack(event);
        return 0;
      case 'forbidden':
        this.#queue.lose(event);
        this.#forbid(namespace);
        this.#tell(
          error,
          failure.kind,
          { namespace, rule },
          'RBAC lets Shoal write no events on pods; pulls are not affected. Grant the rule (docs/operations.md), or set kubernetes.events: false',
        );
        return 0;
      case 'there':
      case 'refused':
        this.#queue.lose(event);
        if (failure.kind === 'refused' && !failure.usual)
          this.#tell(error, failure.kind, { namespace }, 'the Kubernetes API refused an event');
        return 0;
    }
  }

  #retry(event: CountedEvent, error: unknown, waitMs: number): number {
    this.#queue.putBack(event);
    if (!this.#away) {
      this.#away = true;
      const reason = reasonOf(error);
      this.#options.log.warn({ reason }, 'the Kubernetes API takes no events: pulls go on, the events wait');
    }
    return Math.max(waitMs, this.#backoff.failed());
  }

  #forbid(namespace: string): void {
    this.#forbidden.delete(namespace);
    this.#forbidden.set(namespace, this.#options.clock.now() + forbiddenForMs);
    const [oldest] = this.#forbidden.keys();
    if (this.#forbidden.size > mostForbidden && oldest !== undefined) this.#forbidden.delete(oldest);
  }

  /** Once for each kind: a cluster that refuses one event refuses them all. */
  #tell(error: unknown, kind: EventFailure['kind'], fields: object, message: string): void {
    if (this.#told.has(kind)) return;
    this.#told.add(kind);
    this.#options.log.warn({ ...fields, reason: reasonOf(error) }, message);
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
