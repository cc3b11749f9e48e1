/** What the swarm tells of itself, for people. Sums are since the start. */
export interface SwarmStat {
  /** This node, as the others know it. */
  readonly id: string;
  readonly zone?: string;
  /** Whether somebody decides now who takes what from whom; `reason` when nobody does. */
  readonly usable: boolean;
  readonly reason?: string;
  readonly members: number;
  /** Members that could not be reached lately. */
  readonly suspects: number;
  /** Seconds since the membership was last heard of from its source. */
  readonly membershipAge: number;
  readonly directory: {
    /** Shards that this node's questions go to, and those of them that are connected. */
    readonly shards: number;
    readonly connected: number;
    /** The shard on this node: what it knows of. */
    readonly blobs: number;
    readonly pieces: number;
    readonly agents: number;
  };
  readonly leases: {
    readonly active: number;
    readonly granted: number;
    readonly failed: number;
  };
  /** Pieces that were asked of a second peer because the first was slow, and those that the second brought. */
  readonly hedges: { readonly started: number; readonly won: number };
  /** Peers' failures by kind: `unreachable`, `corrupt`, …. */
  readonly failures: Readonly<Record<string, number>>;
  readonly upload: {
    readonly slots: number;
    readonly active: number;
    readonly waiting: number;
    readonly bytes: number;
    readonly busy: number;
  };
  /** When this node's certificate ends, seconds since the epoch; absent without TLS. */
  readonly certificateEnd?: number;
}

/** A member of the swarm as this node sees it. */
export interface MemberView {
  readonly id: string;
  readonly zone?: string;
  readonly role: string;
  readonly self: boolean;
  /** `gone`: no member any more, but it has given or taken something. */
  readonly state: 'reachable' | 'suspect' | 'gone';
  readonly address?: string;
  /** Bytes that this node sent it. */
  readonly sent: number;
}
