import { affinity, type Hash, hashString, hashWith } from './hash.ts';

/** A member of the swarm, as membership (EndpointSlices, DNS, a static list) reports it. */
export interface Member {
  /** Unique in the cluster, and the same wherever the member is seen from: the address it listens on. */
  readonly id: string;
  /** Hosts directory shards for the agents (`shoal scheduler`). */
  readonly scheduler: boolean;
}

/** More shards spread the load no further, but every agent keeps a stream to every shard. */
export const largestDirectory = 64;
/** Neighbouring pieces live on one shard, so that announcements batch; few enough that one blob spreads over all shards. */
export const piecesPerBucket = 32;

const directoryKey = hashString('shoal directory');

interface Ranked {
  readonly id: string;
  readonly hash: Hash;
}

/**
 * Which member hosts the directory shard of a piece, by rendezvous hashing: every node that knows the same members
 * computes the same, and a member that joins or leaves moves only its own share.
 */
export class Placement {
  /** The members that host shards, in the order of their affinity. */
  readonly directory: readonly string[];
  readonly #shards: readonly Ranked[];

  constructor(members: readonly Member[]) {
    const schedulers = members.filter((member) => member.scheduler);
    const hosts = schedulers.length > 0 ? schedulers : members;
    this.#shards = [...new Set(hosts.map((member) => member.id))]
      .map((id) => ({ id, hash: hashString(id) }))
      .map((host) => ({ ...host, score: affinity(host.hash, directoryKey) }))
      .sort((one, other) => other.score - one.score || (one.id < other.id ? -1 : 1))
      .slice(0, largestDirectory);
    this.directory = this.#shards.map((shard) => shard.id);
  }

  /** Where the pieces of one blob are registered. */
  blob(digest: string): BlobPlacement {
    return new BlobPlacement(this.#shards, hashString(digest));
  }
}

/** The shards of one blob's pieces. Remembers each bucket's shard: it is asked for every piece. */
export class BlobPlacement {
  readonly #shards: readonly Ranked[];
  readonly #digest: Hash;
  readonly #buckets: (string | undefined)[] = [];

  constructor(shards: readonly Ranked[], digest: Hash) {
    this.#shards = shards;
    this.#digest = digest;
  }

  /** The id of the member whose shard knows piece `index`. Undefined only when the swarm has no member. */
  shardOf(index: number): string | undefined {
    const bucket = Math.floor(index / piecesPerBucket);
    const known = this.#buckets[bucket];
    if (known !== undefined) return known;
    const shard = this.#strongest(hashWith(this.#digest, bucket));
    this.#buckets[bucket] = shard;
    return shard;
  }

  #strongest(key: Hash): string | undefined {
    let best: Ranked | undefined;
    let bestScore = -1;
    for (const shard of this.#shards) {
      const score = affinity(shard.hash, key);
      if (score < bestScore || (score === bestScore && best !== undefined && best.id < shard.id)) continue;
      best = shard;
      bestScore = score;
    }
    return best?.id;
  }
}
