import { Backoff } from '../backoff.ts';
import type { Clock } from '../clock.ts';
import type { Logger } from '../telemetry/log.ts';
import type { InstanceEndpoints } from './endpoints.ts';
import { AcrError, reasonOf } from './errors.ts';
import type { KnownInstance, LastGood } from './last-good.ts';
import type { InstanceHosts, InstancesStatus } from './types.ts';

export interface InstancesOptions {
  readonly ids: readonly string[];
  readonly authorization: InstancesStatus['authorization'];
  /** Asks ACR for an instance's endpoints. */
  readonly resolve: (id: string, signal: AbortSignal) => Promise<InstanceEndpoints>;
  readonly lastGood: Pick<LastGood, 'read' | 'write'>;
  /** Seconds between two rounds. */
  readonly refreshInterval: number;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
  readonly log: Logger;
}

/** Milliseconds before the first repetition after a round that failed; doubles up to the refresh interval. */
const firstRetryMs = 5_000;
/** Part of the interval that chance takes off: nodes that started together shall not ask together. */
const jitter = 0.2;

/**
 * Keeps the instances' hosts up to date: asks at once and then every interval, each instance for itself. What was known before, in
 * this run or an earlier one, stays good until there is a newer answer: an outage of the OpenAPI changes nothing.
 */
export class Instances implements InstanceHosts {
  readonly #options: InstancesOptions;
  readonly #known = new Map<string, KnownInstance>();
  readonly #problems = new Map<string, string>();
  readonly #listeners = new Set<() => void>();
  readonly #stop = new AbortController();
  #hosts: ReadonlySet<string> = new Set();
  #running: Promise<void> | undefined;

  constructor(options: InstancesOptions) {
    this.#options = options;
  }

  /** Reads what is on disk, so that it counts at once, and begins to ask. */
  async start(): Promise<void> {
    await this.#remember();
    this.#running = this.#run().catch((error: unknown) => {
      this.#options.log.error({ err: error }, 'the hosts of ACR instances are not kept up to date any more');
    });
  }

  /** Ends the asking; the hosts stay as they are. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  hosts(): ReadonlySet<string> {
    return this.#hosts;
  }

  /** The instance that a registry belongs to. */
  instanceOf(host: string): string | undefined {
    return [...this.#known.values()].find(({ hosts }) => hosts.includes(host))?.id;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  status(): InstancesStatus {
    const { ids, authorization } = this.#options;
    const instances = ids.map((id) => {
      const { hosts = [], asOf } = this.#known.get(id) ?? {};
      return { id, hosts, asOf, problem: this.#problems.get(id) };
    });
    return { authorization, instances };
  }

  async #remember(): Promise<void> {
    const { lastGood, ids, log } = this.#options;
    try {
      for (const instance of await lastGood.read())
        if (ids.includes(instance.id)) this.#known.set(instance.id, instance);
      this.#publish();
    } catch (error) {
      log.warn({ cause: reasonOf(error) }, 'what ACR said last is lost; it is asked again');
    }
  }

  async #run(): Promise<void> {
    const { clock, refreshInterval } = this.#options;
    const intervalMs = refreshInterval * 1000;
    const backoff = new Backoff({
      firstMs: Math.min(firstRetryMs, intervalMs),
      longestMs: intervalMs,
      random: clock.random,
    });
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const complete = await this.#round(signal);
      if (complete) backoff.succeeded();
      const waitMs = complete ? intervalMs * (1 - jitter * clock.random()) : backoff.failed();
      this.#options.log.debug({ complete, waitMs: Math.round(waitMs) }, 'ACR was asked for its endpoints');
      // Only the end of it all interrupts the pause.
      await clock.sleep(waitMs, signal).catch(() => undefined);
    }
  }

  /** Asks for every instance. True when all answered. */
  async #round(signal: AbortSignal): Promise<boolean> {
    let complete = true;
    let outage: string | undefined;
    for (const id of this.#options.ids) {
      if (signal.aborted) return false;
      if (outage !== undefined) {
        this.#note(id, outage);
        continue;
      }
      try {
        const { hosts, warning } = await this.#options.resolve(id, signal);
        this.#known.set(id, { id, hosts, asOf: this.#options.wallNow() });
        this.#note(id, warning);
      } catch (error) {
        if (signal.aborted) return false;
        complete = false;
        this.#note(id, reasonOf(error));
        // Nobody answers: the other instances would wait in vain, a minute each.
        if (error instanceof AcrError && error.kind === 'unavailable') outage = reasonOf(error);
      }
    }
    this.#publish();
    await this.#save();
    return complete;
  }

  /** Logs a problem when it is new or another one: an outage is one line, not one every interval. */
  #note(id: string, problem: string | undefined): void {
    const before = this.#problems.get(id);
    if (problem === undefined) this.#problems.delete(id);
    else this.#problems.set(id, problem);
    if (problem === before) return;
    const { log } = this.#options;
    const hosts = this.#known.get(id)?.hosts ?? [];
    if (problem === undefined) log.info({ instance: id, hosts }, "ACR named the instance's hosts again");
    else if (hosts.length === 0)
      log.error(
        { instance: id, cause: problem },
        'the hosts of an ACR instance are unknown: its images are not accelerated',
      );
    else
      log.warn(
        { instance: id, cause: problem, hosts },
        'an ACR instance has a problem; the known hosts stay accelerated',
      );
  }

  #publish(): void {
    const hosts = new Set([...this.#known.values()].flatMap((instance) => instance.hosts));
    if (hosts.size === this.#hosts.size && [...hosts].every((host) => this.#hosts.has(host))) return;
    this.#hosts = hosts;
    this.#options.log.info({ hosts: [...hosts] }, 'ACR hosts to accelerate');
    for (const listener of this.#listeners) listener();
  }

  async #save(): Promise<void> {
    try {
      await this.#options.lastGood.write([...this.#known.values()]);
    } catch (error) {
      this.#options.log.warn({ cause: reasonOf(error) }, "ACR's answer can't be kept for the next start");
    }
  }
}
