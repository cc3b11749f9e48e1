import { systemClock } from '../../clock.ts';
import type { Member } from '../membership/types.ts';
import {
  type AgentMessage,
  changing,
  type Have,
  type Hello,
  type HelloUpdate,
  type ShardMessage,
  type Standing,
} from '../messages.ts';
import { Placement } from '../placement.ts';
import { Liveness } from '../port/liveness.ts';
import { isWithinBounds } from './bounds.ts';
import { type Link, LocalLink, RemoteLink } from './link.ts';
import { defaultSilenceMs } from './server.ts';
import { placementOf, samePlacement } from './shards.ts';
import { Budget, View } from './shares.ts';
import type { DirectoryLinks, DirectoryLinksOptions, DirectoryLinksState } from './types.ts';

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
  /** Shards that leave their share to others for now. */
  readonly #resigned = new Set<string>();
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
    if (!isWithinBounds(message)) this.#refuse(message);
    else if (message.kind !== 'spoiled') this.#sayTo(this.#view.shardOf(message.blob, message.piece), message);
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

  /** What every shard would refuse, and the whole stream with it, stays here: the node brings the piece by itself. */
  #refuse(message: AgentMessage): void {
    this.#dropped += 1;
    if (message.kind !== 'want') return;
    const { blob, piece } = message;
    setImmediate(() => {
      if (!this.#closed) this.#options.receive({ kind: 'alone', blob, piece });
    });
  }

  get #linked(): number {
    let count = 0;
    for (const shard of this.#view.placement.directory) if (this.#isUp(shard)) count += 1;
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
    const { membership, replaced, local } = this.#options;
    this.#introduce();
    const before = this.#view;
    const placement = placementOf(membership, this.#resigned);
    const linked = new Set(placement.directory);
    // The link to one that has resigned stays, so that it can say when it decides again.
    if (this.#resigned.size > 0) for (const shard of placementOf(membership).directory) linked.add(shard);
    const members = new Map(membership.members().map((member) => [member.id, member]));
    for (const [shard, { link, address }] of this.#links) {
      if (linked.has(shard) && members.get(shard)?.address === address) continue;
      link.close();
      this.#links.delete(shard);
      this.#resigned.delete(shard);
    }
    if (!samePlacement(before.placement, placement)) {
      this.#view = new View(placement);
      local?.rearranged(placement.directory.length);
      this.#moveHoldings(before);
      replaced((blob, piece) => this.#moveWant(before, blob, piece));
    }
    for (const shard of linked) {
      const member = members.get(shard);
      if (member !== undefined && !this.#links.has(shard)) this.#link(member);
    }
    this.#settle();
  }

  /** Shards that knew this node by another zone or address get a new stream: what they decide goes by both. */
  #introduce(): void {
    const now = this.#options.self();
    const { id, address, zone, role } = this.#hello;
    if (now.id === id && now.address === address && now.zone === zone && now.role === role) return;
    this.#hello = { ...now, ...changing(this.#hello) };
    for (const { link } of this.#links.values()) link.close();
    this.#links.clear();
    this.#resigned.clear();
  }

  #link({ id, address }: Member): void {
    const { local, membership, security, connectTimeoutMs, logger } = this.#options;
    const hello = (): Hello => this.#hello;
    const receive = (message: ShardMessage): void => {
      this.#received += 1;
      this.#options.receive(message);
    };
    const stands = (standing: Standing): void => this.#stands(id, standing);
    if (id === this.#hello.id && local !== undefined) {
      this.#links.set(id, { link: new LocalLink(local, hello, { receive, stands }), address });
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
      stands,
      up: () => {
        this.#cameUp(id);
        this.#settle();
      },
      failed: (reason) => {
        this.#failures += 1;
        // What it said goes for that stream alone.
        this.#resigned.delete(id);
        logger.warn({ member: id, address, reason }, 'a shard of the directory is out of reach');
        membership.suspect(id);
        this.#settle();
      },
    });
    this.#links.set(id, { link, address });
  }

  #stands(shard: string, standing: Standing): void {
    if (standing === 'resigned') this.#resigned.add(shard);
    else this.#resigned.delete(shard);
    this.#options.logger.info({ member: shard, standing }, 'a shard of the directory has said whether it decides');
    this.#scheduleRearrange();
  }

  /** A shard that knows nothing of this node is told what it holds of the shard's share, and asked for what it wants. */
  #cameUp(shard: string): void {
    const budget = new Budget();
    for (const holding of this.#holdings()) {
      if (this.#view.shardOf(holding.blob, holding.piece) !== shard) continue;
      if (!budget.take(shard)) break;
      this.#sayTo(shard, holding);
    }
    this.#options.replaced((blob, piece) => this.#view.shardOf(blob, piece) === shard);
  }

  /** Tells the shards that decide now what is held of their new share, and the former ones that nobody asks them any more. */
  #moveHoldings(before: View): void {
    const budget = new Budget();
    for (const holding of this.#holdings()) {
      const { blob, piece } = holding;
      const from = before.shardOf(blob, piece);
      const to = this.#view.shardOf(blob, piece);
      if (from === to) continue;
      if (this.#isUp(from) && budget.take(`gone ${from}`)) this.#sayTo(from, { kind: 'gone', blob, piece });
      if (this.#isUp(to) && budget.take(`have ${to}`)) this.#sayTo(to, holding);
    }
  }

  #moveWant(before: View, blob: string, piece: number): boolean {
    const from = before.shardOf(blob, piece);
    if (from === this.#view.shardOf(blob, piece)) return false;
    if (this.#isUp(from)) this.#sayTo(from, { kind: 'cancel', blob, piece });
    return true;
  }

  *#holdings(): Generator<Have, void, undefined> {
    for (const holding of this.#options.holdings()) {
      const have: Have = { ...holding, kind: 'have' };
      if (isWithinBounds(have)) yield have;
    }
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
