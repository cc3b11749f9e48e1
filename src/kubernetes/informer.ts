import { Backoff } from '../backoff.ts';
import type { Clock } from '../clock.ts';
import { systemClock } from '../clock.ts';
import type { Logger } from '../telemetry/log.ts';
import { Replica } from './replica.ts';
import {
  type KubernetesClient,
  KubernetesError,
  type KubernetesErrorKind,
  type KubernetesObject,
  type Resource,
} from './types.ts';

export interface InformerOptions<T> {
  readonly client: KubernetesClient;
  readonly resource: Resource;
  readonly labelSelector?: string | undefined;
  /** Takes from an object what is kept in memory; undefined for nothing. The content is unchecked. Must not throw. */
  readonly parse: (object: KubernetesObject) => T | undefined;
  /** Called after every answer that changed the objects, the first answer included. */
  readonly onChange: () => void;
  readonly logger: Logger;
  readonly times?: InformerTimes;
  readonly clock?: Clock;
}

export interface InformerTimes {
  /** Seconds after which the server is asked to end a watch; up to twice as many, by chance. client-go has 300. */
  readonly watchSeconds: number;
  /** Milliseconds without event or bookmark after which a watch counts as hung. Bookmarks come once a minute. */
  readonly hungMs: number;
  /** Milliseconds of a watch that is no failure when it ends. */
  readonly healthyMs: number;
  /** Milliseconds of waiting after a failure, at first and at most. */
  readonly firstWaitMs: number;
  readonly longestWaitMs: number;
}

export const defaultTimes: InformerTimes = {
  watchSeconds: 300,
  hungMs: 180_000,
  healthyMs: 1_000,
  firstWaitMs: 1_000,
  longestWaitMs: 60_000,
};

/** Objects that are kept at most: some times the largest cluster (5,000 nodes, 10,000 namespaces). */
const mostObjects = 50_000;
/** Failed watches in a row before the version itself is doubted: an etcd restored from a backup knows nothing of it. */
const doubtAfter = 3;
/** Failures after which a watch goes on from where it was. */
const resumable: ReadonlySet<KubernetesErrorKind> = new Set([
  'configuration',
  'unauthorized',
  'forbidden',
  'rate-limited',
  'unavailable',
]);

/**
 * Keeps a replica of a collection: lists, watches, and does so again after every failure, for ever. While the API is away the
 * last good answer stands.
 */
export class Informer<T> {
  /** Resolves with the first complete list. Never, when there is none before `close`: race it with a bound. */
  readonly firstAnswer: Promise<void>;
  readonly #options: InformerOptions<T>;
  readonly #times: InformerTimes;
  readonly #clock: Clock;
  readonly #replica: Replica<T>;
  readonly #backoff: Backoff;
  readonly #answered = Promise.withResolvers<void>();
  readonly #closed = new AbortController();
  readonly #running: Promise<void>;
  #everListed = false;
  #failure: string | undefined;

  constructor(options: InformerOptions<T>) {
    this.#options = options;
    this.#times = options.times ?? defaultTimes;
    this.#clock = options.clock ?? systemClock;
    this.#replica = new Replica(options.parse, mostObjects);
    const { firstWaitMs: firstMs, longestWaitMs: longestMs } = this.#times;
    this.#backoff = new Backoff({ firstMs, longestMs, random: this.#clock.random });
    this.firstAnswer = this.#answered.promise;
    this.#running = this.#run();
  }

  /** What is kept of each object, by `namespace/name` (`/name` for what is in no namespace). Empty before the first answer. */
  objects(): ReadonlyMap<string, T> {
    return this.#replica.objects;
  }

  /** Why the objects may be out of date; undefined while they are kept up. */
  get failure(): string | undefined {
    return this.#failure;
  }

  async close(): Promise<void> {
    this.#closed.abort(new Error('the informer is closed'));
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closed;
    while (!signal.aborted) {
      const waitMs = await this.#follow();
      // Rejects only when closed.
      if (waitMs > 0) await this.#clock.sleep(waitMs, signal).catch(() => {});
    }
  }

  /** One list, if it is due, and one watch. Milliseconds to wait before the next. */
  async #follow(): Promise<number> {
    try {
      await this.#list();
      return (await this.#watch()) ? 0 : this.#backoff.failed();
    } catch (error) {
      return this.#closed.signal.aborted ? 0 : this.#failed(error);
    }
  }

  async #list(): Promise<void> {
    if (this.#replica.resourceVersion !== undefined) return;
    const { client, resource, labelSelector, onChange } = this.#options;
    const freshness = this.#everListed ? 'newest' : 'any';
    const list = await client.list(resource, { labelSelector, freshness, signal: this.#closed.signal });
    const changed = this.#replica.replace(list);
    if (changed || !this.#everListed) onChange();
    this.#everListed = true;
    this.#answered.resolve();
  }

  /** Resolves when the server ends the watch: true when that was after a while, as it should be. */
  async #watch(): Promise<boolean> {
    const { client, resource, labelSelector, onChange } = this.#options;
    const { watchSeconds, hungMs } = this.#times;
    const resourceVersion = this.#replica.resourceVersion;
    if (resourceVersion === undefined) return false;
    const hung = new AbortController();
    const watchdog = setTimeout(() => {
      const text = `watch ${resource.name}: neither event nor bookmark for ${hungMs / 1000} s`;
      hung.abort(new KubernetesError('unavailable', text));
    }, hungMs);
    const signal = AbortSignal.any([this.#closed.signal, hung.signal]);
    // Ends are spread: else all nodes would come back in the same second, for ever.
    const timeoutSeconds = Math.ceil(watchSeconds * (1 + this.#clock.random()));
    const started = this.#clock.now();
    try {
      const options = { labelSelector, resourceVersion, timeoutSeconds, signal };
      for await (const events of client.watch(resource, options)) {
        watchdog.refresh();
        this.#answers();
        this.#credit(started);
        if (this.#replica.apply(events)) onChange();
      }
    } finally {
      clearTimeout(watchdog);
    }
    return this.#credit(started);
  }

  /** A watch that speaks after a while works. One that ends at once, again and again, does not. */
  #credit(started: number): boolean {
    const healthy = this.#clock.now() - started >= this.#times.healthyMs;
    if (healthy) this.#backoff.succeeded();
    return healthy;
  }

  #answers(): void {
    if (this.#failure === undefined) return;
    this.#failure = undefined;
    this.#options.logger.info({ resource: this.#options.resource.name }, 'the Kubernetes API answers again');
  }

  #failed(error: unknown): number {
    const kind = error instanceof KubernetesError ? error.kind : 'invalid';
    const waitMs = this.#backoff.failed();
    const doubtful = kind === 'unavailable' && this.#backoff.failures >= doubtAfter;
    if (doubtful || !resumable.has(kind)) this.#replica.expire();
    // Part of normal life: versions are kept for five minutes.
    if (kind === 'gone') return waitMs;
    const reason = error instanceof Error ? error.message : String(error);
    if (reason !== this.#failure) {
      this.#failure = reason;
      this.#options.logger.warn(
        { resource: this.#options.resource.name, reason },
        'the Kubernetes API does not answer',
      );
    }
    const retryAfterMs = error instanceof KubernetesError ? (error.retryAfterMs ?? 0) : 0;
    return Math.max(waitMs, Math.min(retryAfterMs, this.#times.longestWaitMs));
  }
}
