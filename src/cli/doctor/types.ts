import type { EngineSnapshot, PeerView } from '../../agent/observation.ts';
import type { NodeStatus } from '../../agent/telemetry.ts';
import type { Config } from '../../config/schema.ts';
import type { Member } from '../../swarm/membership/types.ts';

/**
 * How something fares. `problem`: pulls fail, or are not accelerated. `warning`: they are slower than they could be, or will be.
 * `skipped`: it could not be looked at, or there is nothing to look at.
 */
export type Level = 'ok' | 'warning' | 'problem' | 'skipped';

/** What was found about one thing. */
export interface Finding {
  /** The thing, in a few words: `image endpoint`. */
  readonly about: string;
  readonly level: Level;
  /** What is so; for `skipped`, why it was not looked at. */
  readonly says: string;
  /** One command or setting that mends it. */
  readonly mend?: string;
}

/** In the order of the report: the way of a pull, from the kubelet to the other nodes. */
export const groups = [
  'kubelet',
  'agent',
  'runtime',
  'system',
  'disk',
  'memory',
  'ports',
  'clock',
  'certificates',
  'registries',
  'peers',
] as const;
export type Group = (typeof groups)[number];

/** Looks at one part of the node, and changes nothing. */
export interface Check {
  readonly group: Group;
  /** What it looks at, where it can't say it itself. */
  readonly about: string;
  /** Milliseconds after which it is not waited for any more. */
  readonly boundMs: number;
  /** It asks other machines: names that nobody resolves take threads of the pool, which the others read files with. */
  readonly remote?: true;
  /** What it throws becomes a finding. */
  run(context: DoctorContext, signal: AbortSignal): Promise<readonly Finding[]>;
}

/** What is known of the agent that runs, before anything is looked at. */
export interface RunningAgent {
  /** What its supervisor says; absent where the telemetry port is not served. */
  readonly status?: NodeStatus;
  /** Absent when no engine answers. */
  readonly engine?: EngineSnapshot;
  /** Why none does. */
  readonly failure?: string;
  /** Its socket is there, and not for this user. */
  readonly hidden: boolean;
  readonly peers: readonly PeerView[];
}

/** What checks may know. */
export interface DoctorContext {
  readonly config: Config;
  /** Where `/proc`, `/etc` and the like are; `/` but in tests. */
  readonly root: string;
  readonly isRoot: boolean;
  /** `--registry`. */
  readonly registries: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly agent: RunningAgent;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** What registries answer; asked once, for more than one check. */
  readonly registryAnswers: (signal: AbortSignal) => Promise<RegistryAnswers>;
  /** What the other nodes answer; asked once, too. */
  readonly peerAnswers: () => Promise<PeerAnswers>;
}

/** What is known before anything is asked of others. */
export type KnownContext = Omit<DoctorContext, 'registryAnswers' | 'peerAnswers'>;

export interface RegistryAnswers {
  readonly answers: readonly RegistryAnswer[];
  /** Why none could be asked. */
  readonly none?: { readonly says: string; readonly mend: string };
}

/** How a registry was asked, and what came of it. */
export interface RegistryAnswer {
  readonly registry: string;
  readonly url: string;
  /** Nobody named it: it is Docker Hub, which a cluster may do without. */
  readonly implied: boolean;
  /** `proxy http://proxy:3128`, `mirror 10.0.0.9:65001`. */
  readonly via?: string;
  readonly outcome: RegistryOutcome;
}

export type RegistryOutcome =
  | {
      readonly kind: 'answered';
      readonly status: number;
      readonly milliseconds: number;
      /** Milliseconds that the node's clock is ahead of the registry's; absent where it told no time. */
      readonly aheadMs?: number;
      /** The token server that it names, and what came of asking that. */
      readonly tokenServer?: { readonly url: string; readonly failure?: string };
    }
  | { readonly kind: 'dns' | 'connect' | 'tls' | 'proxy' | 'mirror' | 'other'; readonly reason: string };

/** A member, as far as it is dialled. */
export type DialledMember = Pick<Member, 'id' | 'address'>;

/** How a connection to a member failed. */
export type DialFailureKind =
  | 'name'
  | 'refused'
  | 'silent'
  | 'unreachable'
  | 'wrong-name'
  | 'distrust'
  | 'rejected'
  | 'not-tls'
  | 'closed'
  | 'other';

export interface DialFailure {
  readonly kind: DialFailureKind;
  readonly reason: string;
}

export interface Dialled extends DialledMember {
  readonly failure?: DialFailure;
  /** Milliseconds that this node's clock is ahead of the member's; absent where it told no time. */
  readonly aheadMs?: number;
}

export type PeerAnswers =
  | {
      readonly dials: readonly Dialled[];
      /** How many there are to be dialled. */
      readonly members: number;
      readonly tls: boolean;
      readonly port: number;
    }
  /** Nobody is dialled, and why. */
  | { readonly instead: Finding };
