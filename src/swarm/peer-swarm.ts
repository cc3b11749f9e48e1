import type { Clock } from '../clock.ts';
import { Driver } from './driver.ts';
import type { Member, Membership } from './membership/types.ts';
import type { AgentMessage, Have, ShardMessage } from './messages.ts';
import type { TargetOptions } from './schedule/target.ts';
import { defaultScheduleLimits, type ScheduleCounts } from './schedule.ts';
import type { PieceClient } from './transfer/client.ts';
import type { Destination, Holdings, Swarm } from './types.ts';

/** This node's way to the directory's shards. */
export interface Directories {
  /** To the shard of the message's blob and piece. */
  say(message: AgentMessage): void;
  /** Whether there is a shard for every piece. */
  readonly usable: boolean;
}

/** What the directory's shards call. */
export interface DirectoryListener {
  /** A shard has decided. */
  receive(message: ShardMessage): void;
  /** Shards have changed: what was asked of one that `moved` names has to be asked again. */
  replaced(moved: (blob: string, piece: number) => boolean): void;
  /** How quick this node's link is (`Hello.pace`). */
  pace(): number;
  /** What to announce to a shard that is new. */
  holdings(): Iterable<Have>;
  /** `usable` may have changed. */
  changed(): void;
}

export interface PeerSwarmOptions {
  readonly client: Pick<PieceClient, 'fetch'>;
  readonly store: Holdings & { readonly readAheadBytes: number };
  /** Opens the way to the shards; it may call the listener from then on. */
  readonly connect: (listener: DirectoryListener) => Directories;
  /** The peers are mirrors that fetch what they don't have: they are told from where. */
  readonly hints?: boolean;
  readonly membership: Pick<Membership, 'members' | 'suspect'>;
  readonly clock: Clock;
}

/** The swarm in production: the schedule's driver, the directory, the peers' bytes and the store behind one interface. */
export class PeerSwarm implements Swarm {
  readonly #driver: Driver;
  readonly #membership: PeerSwarmOptions['membership'];
  /** By id, as of the members last asked for: every piece that comes asks who sent it. */
  #byId: ReadonlyMap<string, Member> = new Map();
  #known: readonly Member[] = [];
  readonly #directories: Directories;
  readonly #listeners = new Set<() => void>();
  #wasUsable = false;
  #closed = false;

  constructor({ client, store, connect, hints = false, membership, clock }: PeerSwarmOptions) {
    this.#membership = membership;
    this.#driver = new Driver({
      limits: { ...defaultScheduleLimits, windowBytes: store.readAheadBytes },
      client,
      hints,
      say: (message) => this.#directories.say(message),
      // A connection to the peer failed.
      unreachable: (peer) => membership.suspect(peer),
      clock,
    });
    this.#directories = connect({
      receive: (message) => this.#driver.decided(message),
      replaced: (moved) => this.#driver.replaced(moved),
      pace: () => this.#driver.pace,
      holdings: () => announcements(store),
      changed: () => this.#changed(),
    });
    store.onRemove(({ digest, index }) => this.#driver.removed(digest, index));
    this.#changed();
  }

  get usable(): boolean {
    return !this.#closed && this.#directories.usable;
  }

  get counts(): ScheduleCounts {
    return this.#driver.counts;
  }

  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  add(target: TargetOptions, destination: Destination, held: Iterable<number>): void {
    this.#driver.add(target, destination, held);
  }

  remove(blob: string): void {
    this.#driver.remove(blob);
  }

  readerAt(blob: string, piece: number): void {
    this.#driver.readerAt(blob, piece);
  }

  await(blob: string, piece: number): void {
    this.#driver.await(blob, piece);
  }

  reach(blob: string, end: number): void {
    this.#driver.reach(blob, end);
  }

  isActive(blob: string): boolean {
    return this.#driver.isActive(blob);
  }

  describe(peer: string): Member | undefined {
    const members = this.#membership.members();
    if (members !== this.#known) {
      this.#known = members;
      this.#byId = new Map(members.map((member) => [member.id, member]));
    }
    return this.#byId.get(peer);
  }

  obtained(blob: string, piece: number, crc32c: number): void {
    this.#driver.obtained(blob, piece, crc32c);
  }

  spoiled(blob: string): void {
    this.#driver.say({ kind: 'spoiled', blob });
  }

  /** Ends what is under way; nothing is said any more. */
  close(): void {
    this.#closed = true;
    this.#driver.close();
  }

  #changed(): void {
    if (this.usable === this.#wasUsable) return;
    this.#wasUsable = this.usable;
    for (const listener of this.#listeners) listener();
  }
}

function* announcements(store: Holdings): Generator<Have> {
  for (const { digest, index, crc32c, verified } of store.holdings()) {
    yield { kind: 'have', blob: digest, piece: index, crc32c, verified };
  }
}
