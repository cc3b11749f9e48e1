import { systemClock } from '../../clock.ts';
import type { Agent } from '../directory/agent.ts';
import { Directory, type DirectoryStat } from '../directory/directory.ts';
import type { Hello, Standing } from '../messages.ts';
import { placementOf, samePlacement } from './shards.ts';
import type { Attendance, Attendee, DirectoryHost, DirectoryHostOptions } from './types.ts';

/** Long enough for every holder's announcements, short enough not to be felt in a pull (docs/swarm.md). Milliseconds. */
const defaultSettleTime = 500;

/** A shard that has resigned does not come back before: each change costs the swarm a moment without leases. Milliseconds. */
const leastResignation = 60_000;
/**
 * A shard resigns when its node's link has an eighth of the usual pace, as a power of two: nodes with equal links come to a quarter now
 * and then while they start one after the other, and what is under way at a shard that resigns is fetched twice.
 */
const resignsAt = 3;

export function createDirectoryHost(options: DirectoryHostOptions): DirectoryHost {
  return new Host(options);
}

/** Drives one `Directory`: its deadlines, its membership, and who gets its decisions. */
class Host implements DirectoryHost {
  readonly #clock: NonNullable<DirectoryHostOptions['clock']>;
  readonly #directory: Directory;
  readonly #membership: DirectoryHostOptions['membership'];
  readonly #attendees = new Map<Agent, Attendee>();
  readonly #byId = new Map<string, Agent>();
  readonly #unfollow: () => void;
  readonly #self: string;
  #standing: Standing = 'decides';
  #resignedAt = 0;
  #sleep: AbortController | undefined;
  #sleepsUntil = Number.POSITIVE_INFINITY;
  #closed = false;

  constructor(options: DirectoryHostOptions) {
    const { membership, transferTimeoutMs, limits } = options;
    this.#clock = options.clock ?? systemClock;
    this.#membership = membership;
    this.#self = options.self;
    let placement = placementOf(membership);
    this.#directory = new Directory({
      send: (agent, message) => this.#attendees.get(agent)?.receive(message),
      now: this.#clock.now,
      random: this.#clock.random,
      transferTimeout: transferTimeoutMs,
      settleTime: options.settleTimeMs ?? defaultSettleTime,
      shards: shardsOf(placement),
      ...(limits !== undefined && { limits }),
    });
    this.#unfollow = membership.onChange(() => {
      const next = placementOf(membership);
      if (samePlacement(placement, next)) return;
      placement = next;
      this.#after(() => this.#directory.membershipChanged(shardsOf(next)));
    });
    this.#watchDeadline();
  }

  get stat(): DirectoryStat {
    return this.#directory.stat;
  }

  attach(hello: Hello, attendee: Attendee): Attendance | undefined {
    if (this.#closed) return undefined;
    const former = this.#byId.get(hello.id);
    if (former !== undefined) this.#leave(former)?.ended('replaced');
    const agent = this.#after(() => this.#directory.join(hello));
    if (agent === undefined) return undefined;
    this.#attendees.set(agent, attendee);
    this.#byId.set(hello.id, agent);
    this.#membership.heard(hello.id);
    const standing = (): Standing => this.#standing;
    return {
      say: (message) => this.#after(() => this.#directory.apply(agent, message)),
      update: (update) => {
        this.#directory.update(agent, update);
        this.#judge();
      },
      get standing() {
        return standing();
      },
      leave: () => {
        this.#leave(agent);
      },
    };
  }

  rearranged(shards: number): void {
    this.#after(() => this.#directory.membershipChanged(Math.max(1, shards)));
  }

  close(): void {
    this.#closed = true;
    this.#unfollow();
    this.#sleep?.abort();
    for (const agent of [...this.#attendees.keys()]) this.#leave(agent)?.ended('stopped');
  }

  /** Whether this node's link is quick enough to have others wait for what it decides. */
  #judge(): void {
    const self = this.#byId.get(this.#self);
    const standing = self !== undefined && this.#directory.lag(self) >= resignsAt ? 'resigned' : 'decides';
    const now = this.#clock.now();
    if (standing === this.#standing) return;
    if (standing === 'decides' && now < this.#resignedAt + leastResignation) return;
    this.#standing = standing;
    this.#resignedAt = now;
    for (const attendee of this.#attendees.values()) attendee.stands(standing);
  }

  #leave(agent: Agent): Attendee | undefined {
    const attendee = this.#attendees.get(agent);
    if (attendee === undefined) return undefined;
    this.#attendees.delete(agent);
    this.#byId.delete(agent.hello.id);
    this.#after(() => this.#directory.leave(agent));
    return attendee;
  }

  /** Lets something happen to the directory, and sees to its next deadline. */
  #after<T>(event: () => T): T {
    const result = event();
    this.#watchDeadline();
    return result;
  }

  #watchDeadline(): void {
    const next = this.#directory.nextDeadline;
    if (this.#closed || next === undefined || next >= this.#sleepsUntil) return;
    this.#sleep?.abort();
    const sleep = new AbortController();
    this.#sleep = sleep;
    this.#sleepsUntil = next;
    this.#clock.sleep(Math.max(0, next - this.#clock.now()), sleep.signal).then(
      () => {
        if (sleep.signal.aborted) return;
        this.#sleepsUntil = Number.POSITIVE_INFINITY;
        this.#after(() => this.#directory.tick());
      },
      (error: unknown) => {
        // Replaced by an earlier deadline, or closed.
        if (!sleep.signal.aborted) throw error;
      },
    );
  }
}

function shardsOf(placement: { readonly directory: readonly string[] }): number {
  return Math.max(1, placement.directory.length);
}
