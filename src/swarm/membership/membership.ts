import { type Clock, systemClock } from '../../clock.ts';
import { mostMembers } from '../../config/membership.ts';
import type { Logger } from '../../telemetry/log.ts';
import { Prober } from './prober.ts';
import { sameMember, sameRoster, toRoster } from './roster.ts';
import { defaultSuspicion, Suspicion, type SuspicionOptions } from './suspicion.ts';
import type { Member, MemberSource, Membership } from './types.ts';

export interface MembershipOptions {
  readonly source: MemberSource;
  /** This node's id: never suspected, never probed. */
  readonly self: string;
  /** Resolves when the member answers: a connection with its handshake. */
  readonly probe: (member: Member, signal: AbortSignal) => Promise<void>;
  /** Milliseconds for one probe. */
  readonly probeTimeoutMs: number;
  readonly logger: Logger;
  readonly suspicion?: Omit<SuspicionOptions, 'random'>;
  readonly clock?: Clock;
}

/** Starts the source, and puts what this node knows of its peers beside what the source says. */
export function startMembership(options: MembershipOptions): Membership {
  return new SourcedMembership(options);
}

class SourcedMembership implements Membership {
  readonly firstAnswer: Promise<void>;
  readonly #options: MembershipOptions;
  readonly #clock: Clock;
  readonly #suspicion: Suspicion;
  readonly #prober: Prober;
  readonly #listeners = new Set<() => void>();
  readonly #answered = Promise.withResolvers<void>();
  #members: readonly Member[] = [];
  #byId: ReadonlyMap<string, Member> = new Map();
  #reachable: readonly Member[] = [];
  #closed = false;

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.firstAnswer = this.#answered.promise;
    this.#suspicion = new Suspicion({ ...(options.suspicion ?? defaultSuspicion), random: this.#clock.random });
    this.#prober = new Prober({
      suspicion: this.#suspicion,
      probe: (id, signal) => this.#probe(id, signal),
      timeoutMs: options.probeTimeoutMs,
      clock: this.#clock,
      onRecovered: (id) => this.#recovered(id),
    });
    options.source.start((members) => this.#update(members));
  }

  members(): readonly Member[] {
    return this.#members;
  }

  reachable(): readonly Member[] {
    return this.#reachable;
  }

  suspect(id: string): void {
    const member = this.#byId.get(id);
    if (this.#closed || member === undefined || id === this.#options.self) return;
    if (!this.#suspicion.suspect(id, this.#clock.now())) return;
    this.#options.logger.warn({ member: id, address: member.address }, 'a member of the swarm does not answer');
    this.#prober.schedule();
    this.#changed();
  }

  heard(id: string): void {
    if (!this.#closed && this.#suspicion.hasten(id, this.#clock.now())) this.#prober.schedule();
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  failure(): string | undefined {
    return this.#options.source.failure();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#listeners.clear();
    await Promise.all([this.#options.source.close(), this.#prober.close()]);
  }

  #update(named: readonly Member[]): void {
    if (this.#closed) return;
    const members = toRoster(named);
    if (named.length > mostMembers) {
      this.#options.logger.warn({ named: named.length, mostMembers }, 'the swarm is full: members are left out');
    }
    if (!sameRoster(this.#members, members)) {
      const before = this.#members;
      this.#members = members;
      this.#byId = new Map(members.map((member) => [member.id, member]));
      // Who left, or came back elsewhere, is somebody else.
      for (const member of before) {
        if (!sameMember(member, this.#byId.get(member.id))) this.#forget(member.id);
      }
      this.#options.logger.info({ members: members.length, before: before.length }, 'the swarm has changed');
      this.#prober.schedule();
      this.#changed();
    }
    this.#answered.resolve();
  }

  #forget(id: string): void {
    this.#suspicion.forget(id);
    this.#prober.abandon(id);
  }

  async #probe(id: string, signal: AbortSignal): Promise<void> {
    const member = this.#byId.get(id);
    if (member !== undefined) await this.#options.probe(member, signal);
  }

  #recovered(id: string): void {
    this.#options.logger.info({ member: id }, 'a member of the swarm answers again');
    this.#changed();
  }

  #changed(): void {
    this.#reachable = this.#members.filter(({ id }) => !this.#suspicion.has(id));
    for (const listener of [...this.#listeners]) listener();
  }
}
