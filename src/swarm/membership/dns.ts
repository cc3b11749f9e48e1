import { Backoff } from '../../backoff.ts';
import { type Clock, systemClock } from '../../clock.ts';
import type { Logger } from '../../telemetry/log.ts';
import { type DnsName, type DnsResolver, describeName, lookUp } from './dns-lookup.ts';
import type { Member, MemberSource } from './types.ts';

export interface DnsSourceOptions {
  readonly names: readonly DnsName[];
  readonly resolver: DnsResolver;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** Milliseconds between two questions for a name, whatever its TTL says. CoreDNS gives services 5 s. */
export const shortestPollMs = 5_000;
export const longestPollMs = 60_000;

/** Milliseconds until the next question. A tenth by chance: thousands of nodes would ask in the same second. */
export function pollMs(ttlSeconds: number, random: number): number {
  const bounded = Math.min(longestPollMs, Math.max(shortestPollMs, ttlSeconds * 1000));
  return bounded * (1 + random / 10);
}

/** Members are what DNS names stand for; each name is asked again when its records' time is up. */
export class DnsSource implements MemberSource {
  readonly #followers: readonly NameFollower[];
  readonly #resolver: DnsResolver;

  constructor(options: DnsSourceOptions) {
    this.#followers = options.names.map((name) => new NameFollower(name, options));
    this.#resolver = options.resolver;
  }

  start(update: (members: readonly Member[]) => void): void {
    const onAnswer = () => {
      // The first update has everyone: a partial swarm would be placed, and placed anew a moment later.
      if (!this.#followers.every(({ tried }) => tried)) return;
      const members = this.#followers.flatMap((follower) => follower.members);
      if (members.length > 0) update(members);
    };
    for (const follower of this.#followers) follower.start(onAnswer);
  }

  failure(): string | undefined {
    return this.#followers.find(({ failure }) => failure !== undefined)?.failure;
  }

  async close(): Promise<void> {
    const ends = this.#followers.map((follower) => follower.close());
    this.#resolver.cancel();
    await Promise.all(ends);
  }
}

/** Asks for one name, for ever, and keeps the last good answer. */
class NameFollower {
  readonly #name: DnsName;
  readonly #options: DnsSourceOptions;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  readonly #closed = new AbortController();
  #running: Promise<void> | undefined;
  members: readonly Member[] = [];
  failure: string | undefined;
  /** There was an answer or a failure. */
  tried = false;

  constructor(name: DnsName, options: DnsSourceOptions) {
    this.#name = name;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#backoff = new Backoff({ firstMs: 1_000, longestMs: longestPollMs, random: this.#clock.random });
  }

  start(onAnswer: () => void): void {
    this.#running = this.#run(onAnswer);
  }

  async close(): Promise<void> {
    this.#closed.abort(new Error('membership is closed'));
    await this.#running;
  }

  async #run(onAnswer: () => void): Promise<void> {
    const { signal } = this.#closed;
    while (!signal.aborted) {
      const waitMs = await this.#ask();
      if (signal.aborted) return;
      this.tried = true;
      onAnswer();
      // Rejects only when closed.
      await this.#clock.sleep(waitMs, signal).catch(() => {});
    }
  }

  /** Milliseconds until the next question. */
  async #ask(): Promise<number> {
    const { resolver, logger } = this.#options;
    try {
      const { members, ttl } = await lookUp(this.#name, resolver, this.members);
      if (this.failure !== undefined) logger.info(`${describeName(this.#name)} is answered again`);
      this.members = members;
      this.failure = undefined;
      this.#backoff.succeeded();
      return pollMs(ttl, this.#clock.random());
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== this.failure && !this.#closed.signal.aborted) {
        logger.warn({ reason, known: this.members.length }, `${describeName(this.#name)} is not answered`);
      }
      this.failure = reason;
      return this.#backoff.failed();
    }
  }
}
