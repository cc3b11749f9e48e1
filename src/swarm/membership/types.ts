export type MemberRole = 'agent' | 'mirror' | 'scheduler';

/** One of the swarm, as the cluster states it. */
export interface Member {
  /** Unique, and the same wherever the member is seen from: placement hashes it, its certificate names it. */
  readonly id: string;
  /** `host:port` of its swarm port; IPv6 in brackets. */
  readonly address: string;
  /** `topology.kubernetes.io/zone` of its node; empty where the source knows none. */
  readonly zone: string;
  readonly role: MemberRole;
}

/**
 * Who belongs to the swarm. Two views: what the cluster states, the same on every node sooner or later; and, of it, whom this
 * node can reach. Placement works on the second (docs/membership.md says why).
 */
export interface Membership {
  /** Everyone that the source names, by id in ascending order; this node among them, once the source names it. */
  members(): readonly Member[];
  /**
   * `members()` without the suspected. Whether there are schedulers at all is `members()`' to say: schedulers that nobody
   * reaches do not make shards of the agents.
   */
  reachable(): readonly Member[];
  /**
   * A connection to the member failed, or it did not answer: it leaves `reachable()` at once, here only, and is probed until
   * it answers. Without effect on this node itself and on who is no member.
   */
  suspect(id: string): void;
  /**
   * The member has spoken to this node: if it is suspected it is probed now, not when its turn comes. Nodes that started one after
   * the other, or were cut off from each other, so come to one view within moments.
   */
  heard(id: string): void;
  /** Calls `listener` after every change of either view. Returns what ends that. */
  onChange(listener: () => void): () => void;
  /** Resolves with the source's first answer; never when there is none, so race it with a bound. */
  readonly firstAnswer: Promise<void>;
  /** Why `members()` may be out of date: the source's words. Undefined while it answers. */
  failure(): string | undefined;
  /** Ends watching, polling and probing. */
  close(): Promise<void>;
}

/** Where members come from. */
export interface MemberSource {
  /** Begins. `update` gets everyone, each time something may have changed. Called once. */
  start(update: (members: readonly Member[]) => void): void;
  /** Why the last answer may be out of date. */
  failure(): string | undefined;
  close(): Promise<void>;
}
