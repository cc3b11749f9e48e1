import { systemClock } from '../../clock.ts';
import { defaultLimits } from '../limits.ts';
import type { Member } from '../membership/types.ts';
import type { AgentMessage, Hello, ShardMessage } from '../messages.ts';
import { type BlobPlacement, Placement } from '../placement.ts';
import { Liveness } from '../port/liveness.ts';
import { type Link, LocalLink, RemoteLink } from './link.ts';
import { defaultSilenceMs } from './server.ts';
import { placementOf, samePlacement } from './shards.ts';
import type { DirectoryLinks, DirectoryLinksOptions, DirectoryLinksState, HelloUpdate } from './types.ts';

/** Blobs whose placement is kept: more than a node brings at once. */
const mostPlacements = 1_024;

/**
 * Opens a link to every shard at once and keeps it: holders have to announce what they hold before somebody asks for it, and
 * a want must not wait for a handshake.
 */
export function createDirectoryLinks(options: DirectoryLinksOptions): DirectoryLinks {
  return new Links(options);
}

interface Linked {
  readonly link: Link;
  /** Of the member, as it was dialled. */
  readonly address: string;
}

class Links implements DirectoryLinks {
  readonly #options: DirectoryLinksOptions;
  readonly #liveness: Liveness;
  readonly #links = new Map<string, Linked>();
  readonly #listeners = new Set<() => void>();
  readonly #unfollow: () => void;
  #hello: Hello;
  #view = new View(new Placement([]));
  #rearranging: NodeJS.Immediate | undefined;
  #usable: DirectoryLinksState['usable'] = 'none';
  #sent = 0;
  #received = 0;
  #dropped = 0;
  #failures = 0;
  #closed = false;

  constructor(options: DirectoryLinksOptions) {
    this.#options = options;
    this.#hello = options.self();
    this.#liveness = new Liveness(options.silenceMs ?? defaultSilenceMs);
    this.#unfollow = options.membership.onChange(() => this.#scheduleRearrange());
    this.#scheduleRearrange();
  }

  get state(): DirectoryLinksState {
    return {
      usable: this.#usable,
      shards: this.#view.placement.directory.length,
      linked: this.#linked,
      sent: this.#sent,
      received: this.#received,
      dropped: this.#dropped,
      failures: this.#failures,
    };
  }

  say(message: AgentMessage): void {
    if (message.kind !== 'spoiled') this.#sayTo(this.#view.shardOf(message.blob, message.piece), message);
    else for (const shard of this.#links.keys()) this.#sayTo(shard, message);
  }

  update(hello: HelloUpdate): void {
    this.#hello = { ...this.#hello, ...hello };
    for (const { link } of this.#links.values()) link.update();
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#unfollow();
    this.#listeners.clear();
    if (this.#rearranging !== undefined) clearImmediate(this.#rearranging);
    for (const { link } of this.#links.values()) link.close();
    this.#links.clear();
    this.#liveness.close();
  }

  get #linked(): number {
    let count = 0;
    for (const { link } of this.#links.values()) if (link.isUp) count += 1;
    return count;
  }

  #sayTo(shard: string | undefined, message: AgentMessage): void {
    const link = shard === undefined ? undefined : this.#links.get(shard)?.link;
    if (link?.isUp !== true) {
      this.#dropped += 1;
      return;
    }
    this.#sent += 1;
    link.say(message);
  }

  /** In a turn of its own: membership may change from within `say`, and several members at once. */
  #scheduleRearrange(): void {
    this.#rearranging ??= setImmediate(() => {
      this.#rearranging = undefined;
      this.#rearrange();
    });
  }

  #rearrange(): void {
    const { membership, replaced } = this.#options;
    this.#introduce();
    const before = this.#view;
    const placement = placementOf(membership);
    const members = new Map(membership.members().map((member) => [member.id, member]));
    for (const [shard, { link, address }] of this.#links) {
      if (placement.directory.includes(shard) && members.get(shard)?.address === address) continue;
      link.close();
      this.#links.delete(shard);
    }
    if (!samePlacement(before.placement, placement)) {
      this.#view = new View(placement);
      this.#moveHoldings(before);
      replaced((blob, piece) => this.#moveWant(before, blob, piece));
    }
    for (const shard of placement.directory) {
      const member = members.get(shard);
      if (member !== undefined && !this.#links.has(shard)) this.#link(member);
    }
    this.#settle();
  }

  /** Shards that knew this node by another zone or address get a new stream: what they decide goes by both. */
  #introduce(): void {
    const now = this.#options.self();
    const { id, address, zone, role, slots, leases } = this.#hello;
    if (now.id === id && now.address === address && now.zone === zone && now.role === role) return;
    this.#hello = { ...now, slots, leases };
    for (const { link } of this.#links.values()) link.close();
    this.#links.clear();
  }

  #link({ id, address }: Member): void {
    const { local, membership, security, connectTimeoutMs, logger } = this.#options;
    const hello = (): Hello => this.#hello;
    const receive = (message: ShardMessage): void => {
      this.#received += 1;
      this.#options.receive(message);
    };
    if (id === this.#hello.id && local !== undefined) {
      this.#links.set(id, { link: new LocalLink(local, hello, receive), address });
      this.#cameUp(id);
      return;
    }
    const link = new RemoteLink({
      shard: { id, address },
      security,
      hello,
      connectTimeoutMs,
      liveness: this.#liveness,
      patienceMs: this.#options.silenceMs ?? defaultSilenceMs,
      clock: this.#options.clock ?? systemClock,
      receive,
      up: () => {
        this.#cameUp(id);
        this.#settle();
      },
      failed: (reason) => {
        this.#failures += 1;
        logger.warn({ member: id, address, reason }, 'a shard of the directory is out of reach');
        membership.suspect(id);
        this.#settle();
      },
    });
    this.#links.set(id, { link, address });
  }

  /** A shard that knows nothing of this node is told what it holds of the shard's share, and asked for what it wants. */
  #cameUp(shard: string): void {
    const budget = new Budget();
    for (const holding of this.#options.holdings()) {
      if (this.#view.shardOf(holding.blob, holding.piece) !== shard) continue;
      if (!budget.take(shard)) break;
      this.#sayTo(shard, { kind: 'have', ...holding });
    }
    this.#options.replaced((blob, piece) => this.#view.shardOf(blob, piece) === shard);
  }

  /** Tells the shards that decide now what is held of their new share, and the former ones that nobody asks them any more. */
  #moveHoldings(before: View): void {
    const budget = new Budget();
    for (const holding of this.#options.holdings()) {
      const { blob, piece } = holding;
      const from = before.shardOf(blob, piece);
      const to = this.#view.shardOf(blob, piece);
      if (from === to) continue;
      if (this.#isUp(from) && budget.take(`gone ${from}`)) this.#sayTo(from, { kind: 'gone', blob, piece });
      if (this.#isUp(to) && budget.take(`have ${to}`)) this.#sayTo(to, { kind: 'have', ...holding });
    }
  }

  #moveWant(before: View, blob: string, piece: number): boolean {
    const from = before.shardOf(blob, piece);
    if (from === this.#view.shardOf(blob, piece)) return false;
    if (this.#isUp(from)) this.#sayTo(from, { kind: 'cancel', blob, piece });
    return true;
  }

  #isUp(shard: string | undefined): shard is string {
    return shard !== undefined && this.#links.get(shard)?.link.isUp === true;
  }

  #settle(): void {
    if (this.#closed) return;
    const linked = this.#linked;
    const usable = linked === 0 ? 'none' : linked === this.#view.placement.directory.length ? 'all' : 'some';
    if (usable === this.#usable) return;
    this.#usable = usable;
    for (const listener of [...this.#listeners]) listener();
  }
}

/** What a shard keeps of one agent's holdings is bounded: no more is told to it, or taken back. */
class Budget {
  readonly #spent = new Map<string, number>();

  take(what: string): boolean {
    const spent = this.#spent.get(what) ?? 0;
    if (spent >= defaultLimits.holdingsPerAgent) return false;
    this.#spent.set(what, spent + 1);
    return true;
  }
}

/** A placement, with the blobs that were asked about last. */
class View {
  readonly placement: Placement;
  readonly #blobs = new Map<string, BlobPlacement>();

  constructor(placement: Placement) {
    this.placement = placement;
  }

  shardOf(blob: string, piece: number): string | undefined {
    let known = this.#blobs.get(blob);
    if (known === undefined) {
      if (this.#blobs.size >= mostPlacements) this.#blobs.clear();
      known = this.placement.blob(blob);
      this.#blobs.set(blob, known);
    }
    return known.shardOf(piece);
  }
}
