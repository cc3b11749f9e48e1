import type { Clock } from '../../clock.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { DirectoryStat } from '../directory/directory.ts';
import type { DirectoryLimits } from '../limits.ts';
import type { Membership } from '../membership/types.ts';
import type { AgentMessage, Have, Hello, HelloUpdate, ShardMessage, Standing } from '../messages.ts';
import type { TransferSecurity } from '../transfer/listen-address.ts';

export interface DirectoryHostOptions {
  /** The id of this node's own agent: the shard resigns while that one's link is much slower than most. */
  readonly self: string;
  /** How many shards there are follows from it; it hears of those who attend. */
  readonly membership: Pick<Membership, 'members' | 'reachable' | 'onChange' | 'heard'>;
  /** Milliseconds without progress after which a decision lapses (`p2p.transferTimeout`). */
  readonly transferTimeoutMs: number;
  /** Milliseconds without leases after the directory's members have changed. */
  readonly settleTimeMs?: number;
  readonly limits?: DirectoryLimits;
  readonly clock?: Clock;
}

/** This node's shard of the directory: the state machine, with its timers. */
export interface DirectoryHost {
  /** Somebody attends: over a stream, or this node's own agent. Undefined: the shard is full. */
  attach(hello: Hello, attendee: Attendee): Attendance | undefined;
  readonly stat: DirectoryStat;
  /** The directory has so many shards now, and this one another share than before. */
  rearranged(shards: number): void;
  /** Ends every attendance. */
  close(): void;
}

/** Where the shard's words to one agent go. Neither method may call back into the host. */
export interface Attendee {
  receive(message: ShardMessage): void;
  /** Whether the shard decides has changed since the agent attends. */
  stands(standing: Standing): void;
  /** The shard ends it: another stream of the same id has come, or the shard stops. */
  ended(reason: 'replaced' | 'stopped'): void;
}

export interface Attendance {
  say(message: AgentMessage): void;
  update(hello: HelloUpdate): void;
  readonly standing: Standing;
  /** All that the agent held, wanted and had leased is void. */
  leave(): void;
}

export interface DirectoryLinksOptions {
  /** Read anew whenever the membership has changed, which may have more to say of this node's zone or address. */
  readonly self: () => Hello;
  readonly membership: Membership;
  readonly security: TransferSecurity;
  /** This node's own shard: it is spoken to without a network. */
  readonly local?: DirectoryHost;
  /** A shard has decided. Called from a turn of its own, never from within `say`. */
  readonly receive: (message: ShardMessage) => void;
  /** Shards have changed, or are there again: what `moved` says yes to was not asked of the shard that decides now. */
  readonly replaced: (moved: (blob: string, piece: number) => boolean) => void;
  /** Everything that is held now: told to each shard when its link comes up. */
  readonly holdings: () => Iterable<Omit<Have, 'kind'>>;
  /** Milliseconds until a shard must have taken the stream (`p2p.connectTimeout`). */
  readonly connectTimeoutMs: number;
  /** Milliseconds after which a silent shard is given up. */
  readonly silenceMs?: number;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** Whether anybody decides who takes what from whom, and how much was said. Counts. */
export interface DirectoryLinksState {
  /** `all`: every shard is linked; `some`: the others are being dialled; `none`: every node is on its own. */
  readonly usable: 'all' | 'some' | 'none';
  readonly shards: number;
  readonly linked: number;
  /** Messages to shards, this node's own among them. */
  readonly sent: number;
  readonly received: number;
  /** Said to a shard without a link. Nothing is lost by it: holdings and wants are told anew when the link stands. */
  readonly dropped: number;
  /** Links that failed. */
  readonly failures: number;
}

/** One agent's links to all shards of the directory. */
export interface DirectoryLinks {
  /** To the shard of the message's blob and piece; `spoiled` to all. Never blocks. */
  say(message: AgentMessage): void;
  /** Tells every shard, now and from now on. */
  update(hello: HelloUpdate): void;
  readonly state: DirectoryLinksState;
  /** Calls `listener` whenever `usable` has changed. Returns what ends that. */
  onChange(listener: () => void): () => void;
  /** Ends all streams: the shards forget this node at once. */
  close(): Promise<void>;
}
