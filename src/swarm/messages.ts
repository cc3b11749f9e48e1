/**
 * What an agent and a directory shard say to each other: the events and the decisions of the directory's state machine.
 * `proto/swarm.proto` carries the same over gRPC, one bidirectional stream per agent and shard; field for field.
 */

/** A mirror caches for the cluster: the directory prefers it for fetching from the origin. */
export type Role = 'agent' | 'mirror';

/** Who a stream belongs to. First message of every stream; again whenever a value changes. */
export interface Hello {
  /** The member's id in membership, which its certificate must name. */
  readonly id: string;
  /** `host:port` of its piece server. */
  readonly address: string;
  /** `topology.kubernetes.io/zone` of its node; empty where there are no zones. */
  readonly zone: string;
  readonly role: Role;
  /** Uploads that it serves at once: scaled to its measured uplink. */
  readonly slots: number;
  /**
   * How quick its link is, from what it received lately: the power of two next to its bytes a second, 0 while it is not known.
   * Shards compare: who is much slower than most should not have others wait for it.
   */
  readonly pace: number;
  /** Leases that this shard may give it without being asked: for mirrors; 0 for agents. */
  readonly leases: number;
}

/** What changes while a stream stands. */
export type HelloUpdate = Partial<Pick<Hello, 'slots' | 'leases' | 'pace'>>;

/** The part of a hello that may change. */
export function changing({ slots, leases, pace }: Hello): Required<HelloUpdate> {
  return { slots, leases, pace };
}

/** Asks for a piece. Asked again it replaces the first, unless that is decided already: `cancel` comes before a new start. */
export interface Want {
  readonly kind: 'want';
  /** `sha256:…` of the whole blob. */
  readonly blob: string;
  readonly piece: number;
  /**
   * The agent would fetch it from the origin now. It sets this on no more wants than it has free leases, because a
   * shard sees only its own: the cap per node and origin is the agent's to keep.
   */
  readonly lease: boolean;
  /** The reader waits for this very piece: served before others. */
  readonly urgent: boolean;
  /** `<registry>/<repository>`: where a lease is for, and where a mirror finds it with its own credentials. */
  readonly source: string;
  /** `traceparent` of the blob's span; only where the pull is recorded. */
  readonly trace?: string;
}

/** The agent has the piece, checked. Also ends its want. */
export interface Have {
  readonly kind: 'have';
  readonly blob: string;
  readonly piece: number;
  readonly crc32c: number;
  /** The agent itself has found the whole blob's SHA-256 right: outranks what others say of the CRC32C. */
  readonly verified: boolean;
}

/** The agent no longer has the piece (evicted, purged). */
export interface Gone {
  readonly kind: 'gone';
  readonly blob: string;
  readonly piece: number;
}

/** What a peer did when it was asked for a piece. That it was busy is not reported: it is no failure. */
export type Failure =
  /** It does not have the piece. */
  | 'absent'
  /** Connection refused, cut, or silent for `transferTimeout`. */
  | 'unreachable'
  /** It sent the wrong length or bytes of another CRC32C. */
  | 'corrupt';

/** A report about a peer. The want itself goes on: the agent tries its other peers, or wants again. */
export interface Failed {
  readonly kind: 'failed';
  readonly blob: string;
  readonly piece: number;
  readonly peer: string;
  readonly failure: Failure;
}

/** Bytes are still coming: the decision does not lapse for another `transferTimeout`. */
export interface Progress {
  readonly kind: 'progress';
  readonly blob: string;
  readonly piece: number;
}

/** The agent no longer wants the piece, or gives its lease back because the origin failed it. */
export interface Cancel {
  readonly kind: 'cancel';
  readonly blob: string;
  readonly piece: number;
}

/** The whole blob's SHA-256 was wrong although every piece had its CRC32C. The agent holds none of its pieces any more. */
export interface Spoiled {
  readonly kind: 'spoiled';
  readonly blob: string;
}

export type AgentMessage = Want | Have | Gone | Failed | Progress | Cancel | Spoiled;

export interface Peer {
  readonly id: string;
  readonly address: string;
}

/** The piece is to be had from these peers: try them in this order. */
export interface Take {
  readonly kind: 'take';
  readonly blob: string;
  readonly piece: number;
  /** Undefined from a directory that does not know the bytes: mirrors alone (`mirror-directory.ts`). Never on the wire. */
  readonly crc32c: number | undefined;
  /** One to four. */
  readonly peers: readonly Peer[];
}

/** The agent, and nobody else, fetches the piece from the origin. */
export interface Lease {
  readonly kind: 'lease';
  readonly blob: string;
  readonly piece: number;
  /** As in the want it answers: for a mirror, which did not ask. */
  readonly source: string;
  /** The same, of a want whose pull is recorded. */
  readonly trace?: string;
}

/** The shard is at one of its bounds and keeps no book of this want: the agent fetches from the origin by itself. */
export interface Alone {
  readonly kind: 'alone';
  readonly blob: string;
  readonly piece: number;
}

export type ShardMessage = Take | Lease | Alone;

/**
 * Whether a shard decides. One that has resigned, because its node's link is slow and everybody would wait for its word, leaves its
 * share to the others; its streams stay. Said whenever it changes; a shard that says nothing decides.
 */
export type Standing = 'decides' | 'resigned';
