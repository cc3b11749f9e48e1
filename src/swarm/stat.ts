import type { Membership } from './membership/types.ts';
import type { SwarmNode } from './node.ts';
import type { ScheduleCounts } from './schedule.ts';

/** What the swarm tells of itself, for people. Sums are since the start. */
export interface SwarmStat {
  /** This node, as the others know it. */
  readonly id: string;
  readonly zone: string;
  /** Whether somebody decides now who takes what from whom. */
  readonly usable: boolean;
  readonly members: number;
  /** Members that could not be reached lately. */
  readonly suspects: number;
  /** Why the membership may be out of date, in its source's words. */
  readonly membershipFailure?: string;
  readonly directory: {
    /** Shards that this node's questions go to, and those of them that are linked. */
    readonly shards: number;
    readonly linked: number;
    /** The shard on this node: what it knows of. */
    readonly blobs: number;
    readonly pieces: number;
    readonly agents: number;
    /** Decisions of that shard that lapsed, and peers that it has banned. */
    readonly lapsed: number;
    readonly banned: number;
  };
  /** Absent where nothing is pulled: mirrors and schedulers. */
  readonly schedule?: ScheduleCounts;
  /** Pieces that a peer did not give, by why: absent, busy, unreachable, corrupt. */
  readonly failures: Readonly<Record<string, number>>;
  readonly upload: {
    readonly slots: number;
    readonly active: number;
    readonly bytes: number;
    /** Requests that were told to ask elsewhere, because all slots were in use. */
    readonly busy: number;
  };
  /** When this node's certificate ends, seconds since the epoch; absent without TLS. */
  readonly certificateEnd?: number;
}

/** A member of the swarm as this node sees it. */
export interface MemberView {
  readonly id: string;
  readonly zone: string;
  readonly role: string;
  readonly self: boolean;
  /** `gone`: no member any more, but it has given something. */
  readonly state: 'reachable' | 'suspect' | 'gone';
  readonly address?: string;
  /** Bytes that this node sent to its address. */
  readonly sent: number;
}

export interface WatchedSwarm {
  readonly node: Pick<SwarmNode, 'identity' | 'facts'> & {
    readonly membership: Pick<Membership, 'members' | 'reachable' | 'failure'>;
  };
  /** Absent where nothing is pulled. */
  readonly swarm?: { readonly usable: boolean; readonly counts: ScheduleCounts };
}

export function swarmStat({ node, swarm }: WatchedSwarm): SwarmStat {
  const { zone, client, shard, server, links, certificateEnd } = node.facts;
  const members = node.membership.members().length;
  const failure = node.membership.failure();
  return {
    id: node.identity.id,
    zone,
    // Who asks no shard needs none.
    usable: swarm?.usable ?? links?.usable !== 'none',
    members,
    suspects: members - node.membership.reachable().length,
    ...(failure !== undefined && { membershipFailure: failure }),
    directory: {
      shards: links?.shards ?? 0,
      linked: links?.linked ?? 0,
      blobs: shard.blobs,
      pieces: shard.pieces,
      agents: shard.agents,
      lapsed: shard.lapsed,
      banned: shard.banned,
    },
    ...(swarm && { schedule: swarm.counts }),
    failures: client.failures,
    upload: {
      slots: server?.slots ?? 0,
      active: server?.active ?? 0,
      bytes: server?.bytes ?? 0,
      busy: server?.busy ?? 0,
    },
    ...(certificateEnd !== undefined && { certificateEnd: certificateEnd.getTime() / 1000 }),
  };
}

export function swarmMembers({ node }: WatchedSwarm): MemberView[] {
  const reachable = new Set(node.membership.reachable().map(({ id }) => id));
  const { sentTo } = node.facts;
  return node.membership.members().map(({ id, zone, role, address }) => ({
    id,
    zone,
    role,
    self: id === node.identity.id,
    state: reachable.has(id) ? 'reachable' : 'suspect',
    address,
    sent: sentTo.get(address.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')) ?? 0,
  }));
}
