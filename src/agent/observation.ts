import type { InstanceHosts, InstanceStatus } from '../acr/types.ts';
import type { EventCounts } from '../kubernetes/event-recorder.ts';
import type { MirrorStat } from '../mirror/mirror.ts';
import type { PullHistory, PullTotals } from '../pull/history.ts';
import type { PullDetail, PullView } from '../pull/pull-record.ts';
import type { OssCounts } from '../registry/oss-acceleration.ts';
import type { StoreStat } from '../store/types.ts';
import { type MemberView, type SwarmStat, swarmMembers, swarmStat, type WatchedSwarm } from '../swarm/stat.ts';
import { type Condition, Conditions, type Finding } from '../telemetry/conditions.ts';
import { type ProcessStat, ProcessWatch } from '../telemetry/process-watch.ts';

/** What the engine knows of itself at one moment. */
export interface EngineSnapshot {
  readonly process: ProcessStat;
  /** Absent where no runtime pulls: mirrors and schedulers. */
  readonly pulls?: PullTotals;
  readonly mirror?: MirrorStat;
  /** Absent in schedulers. */
  readonly store?: StoreStat;
  /** Absent where the node is alone. */
  readonly swarm?: SwarmStat;
  /** Empty where no ACR instances are configured. */
  readonly acr: readonly InstanceStatus[];
  /** Absent where OSS acceleration is off. */
  readonly oss?: OssCounts;
  /** Absent where no events are written. */
  readonly events?: EventCounts;
  readonly conditions: readonly Condition[];
}

/** A node that this one has to do with. */
export interface PeerView extends MemberView {
  /** Bytes that this node got from it. */
  readonly received: number;
}

/** What can be asked for, by name. */
export interface Observables {
  snapshot: EngineSnapshot;
  pulls: readonly PullView[];
  /** Null when there is no such pull (any more). */
  pull: PullDetail | null;
  peers: readonly PeerView[];
}

export interface ObservedParts {
  readonly history?: PullHistory;
  readonly store?: { stat(): StoreStat };
  readonly mirror?: { stat(): MirrorStat };
  readonly swarm?: WatchedSwarm | undefined;
  readonly acr?: Pick<InstanceHosts, 'status'>;
  readonly oss?: { readonly counts: OssCounts } | undefined;
  readonly events?: { readonly counts: EventCounts } | undefined;
}

/** How often it is looked for whether something is out of order: so exact is "since when". */
const lookEveryMs = 5_000;
/** A certificate that ends sooner than this should have been replaced. Seconds. */
export const certificateNoticeSeconds = 14 * 24 * 3600;

/** Answers what the engine is asked about itself. */
export class Observation {
  readonly #parts: ObservedParts;
  readonly #process = new ProcessWatch();
  readonly #conditions = new Conditions(Date.now);
  readonly #timer: NodeJS.Timeout;

  constructor(parts: ObservedParts) {
    this.#parts = parts;
    this.#timer = setInterval(() => this.#look(), lookEveryMs).unref();
    this.#look();
  }

  /** The answer to a question of the Control service. Throws for one that there isn't. */
  answer(about: string, name: string): unknown {
    const { history } = this.#parts;
    const answers: { readonly [About in keyof Observables]: () => Observables[About] } = {
      snapshot: () => this.snapshot(),
      pulls: () => history?.list() ?? [],
      pull: () => history?.get(name) ?? null,
      peers: () => this.#peers(),
    };
    if (!Object.hasOwn(answers, about)) throw new Error(`${JSON.stringify(about)} is nothing that can be observed`);
    return answers[about as keyof Observables]();
  }

  snapshot(): EngineSnapshot {
    const { history, store, mirror, swarm, acr, oss, events } = this.#parts;
    return {
      process: this.#process.stat(),
      ...(history && { pulls: history.totals() }),
      ...(store && { store: store.stat() }),
      ...(mirror && { mirror: mirror.stat() }),
      ...(swarm && { swarm: swarmStat(swarm) }),
      acr: acr?.status().instances ?? [],
      ...(oss && { oss: oss.counts }),
      ...(events && { events: events.counts }),
      conditions: this.#look(),
    };
  }

  close(): void {
    clearInterval(this.#timer);
    this.#process.close();
  }

  #look(): readonly Condition[] {
    const { store, swarm, acr } = this.#parts;
    return this.#conditions.update([
      ...(store ? [diskFinding(store.stat())] : []),
      ...(swarm ? swarmFindings(swarmStat(swarm), Date.now()) : []),
      ...acrFindings(acr?.status().instances ?? []),
    ]);
  }

  /** Members, and those that gave something and are gone. */
  #peers(): PeerView[] {
    const { history, swarm } = this.#parts;
    const received = new Map(
      (history?.senders() ?? []).filter(({ source }) => source !== 'origin').map((sender) => [sender.id, sender]),
    );
    const members = (swarm ? swarmMembers(swarm) : []).map((member) => {
      const bytes = received.get(member.id)?.bytes ?? 0;
      received.delete(member.id);
      return { ...member, received: bytes };
    });
    const gone = [...received.values()].map(({ id, zone = '', source, bytes }) => ({
      id,
      zone,
      role: source === 'mirror' ? 'mirror' : 'agent',
      self: false,
      state: 'gone' as const,
      sent: 0,
      received: bytes,
    }));
    return [...members, ...gone];
  }
}

function diskFinding({ disk }: StoreStat): Finding {
  if (disk?.degraded === undefined) return { name: 'disk', state: 'ok' };
  return { name: 'disk', state: 'degraded', reason: `the disk cache is out of use: ${disk.degraded}` };
}

/** `now`: milliseconds since the epoch. */
function swarmFindings({ membershipFailure, usable, members, certificateEnd }: SwarmStat, now: number): Finding[] {
  const left = certificateEnd === undefined ? undefined : certificateEnd - now / 1000;
  const alone =
    members < 2 ? 'no other node is a member' : 'too few shards of the directory, or no other node, can be reached';
  return [
    membershipFailure === undefined
      ? { name: 'membership', state: 'ok' }
      : degraded('membership', `it may be out of date: ${membershipFailure}`),
    usable ? { name: 'directory', state: 'ok' } : degraded('directory', `pulls go to the registry alone: ${alone}`),
    left !== undefined && left < certificateNoticeSeconds
      ? degraded('certificate', certificateReason(left))
      : { name: 'certificate', state: 'ok' },
  ];
}

function acrFindings(instances: readonly InstanceStatus[]): Finding[] {
  if (instances.length === 0) return [];
  const problems = instances.flatMap(({ problem }) => problem ?? []);
  return [problems.length === 0 ? { name: 'acr', state: 'ok' } : degraded('acr', [...new Set(problems)].join('; '))];
}

function certificateReason(secondsLeft: number): string {
  if (secondsLeft <= 0) return 'it has ended: other nodes refuse this one. Issue another one (shoal certs issue)';
  return `it ends in ${Math.floor(secondsLeft / 86_400)} days: issue another one (shoal certs issue)`;
}

function degraded(name: string, reason: string): Finding {
  return { name, state: 'degraded', reason };
}
