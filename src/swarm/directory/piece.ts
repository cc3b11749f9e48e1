import type { Agent } from './agent.ts';
import { AgentSet } from './agent-set.ts';
import type { Want } from './want.ts';

/** What one zone has and wants of a piece. */
export class ZoneGroup {
  readonly holders = new AgentSet();
  /** Undecided wants in the order of their arrival; the urgent ones are served first. */
  readonly urgent = new Set<Want>();
  readonly waiting = new Set<Want>();
  /** Takes within the zone that are under way. */
  taking = 0;
  /** The one want of the zone that takes the piece from another zone. */
  crossing: Want | undefined;

  /** The undecided wants, in the order in which they are served. */
  *queue(): Generator<Want, void, undefined> {
    yield* this.urgent;
    yield* this.waiting;
  }
}

/** All that one shard knows of one piece. */
export class Piece {
  readonly blob: string;
  readonly index: number;
  /** Meaningful while somebody holds the piece. */
  crc32c = 0;
  /** Who said so first. */
  publisher: Agent | undefined;
  /** Somebody who said so has checked the whole blob. */
  verified = false;
  holders = 0;
  readonly groups = new Map<string, ZoneGroup>();
  /** Undecided wants whose agents would fetch the piece from the origin. */
  readonly candidates = new Set<Want>();
  /** Undecided wants, and how many of them a reader waits for. */
  waiting = 0;
  urgent = 0;
  /** Wants that were decided and are under way, the lease among them. */
  granted = 0;
  lease: Want | undefined;
  /** When the last lease was given. Milliseconds. */
  leasedAt = 0;
  /** Where mirrors would fetch it from. */
  source = '';
  /** Mirrors that gave its lease back. */
  declined: Set<Agent> | undefined;

  constructor(blob: string, index: number) {
    this.blob = blob;
    this.index = index;
  }

  /** Nobody has it, wants it, or is fetching it. */
  get idle(): boolean {
    return this.holders === 0 && this.waiting === 0 && this.granted === 0;
  }

  group(zone: string): ZoneGroup {
    let group = this.groups.get(zone);
    if (group === undefined) {
      group = new ZoneGroup();
      this.groups.set(zone, group);
    }
    return group;
  }

  /** The undecided wants of all zones. */
  *queue(): Generator<Want, void, undefined> {
    for (const group of this.groups.values()) yield* group.queue();
  }

  enqueue(want: Want): void {
    const group = this.group(want.agent.hello.zone);
    (want.urgent ? group.urgent : group.waiting).add(want);
    if (want.lease) this.candidates.add(want);
    this.waiting += 1;
    if (want.urgent) this.urgent += 1;
  }

  dequeue(want: Want): void {
    const group = this.group(want.agent.hello.zone);
    (want.urgent ? group.urgent : group.waiting).delete(want);
    this.candidates.delete(want);
    this.waiting -= 1;
    if (want.urgent) this.urgent -= 1;
  }

  addHolder(agent: Agent): boolean {
    if (!this.group(agent.hello.zone).holders.add(agent.slot)) return false;
    this.holders += 1;
    agent.holdings += 1;
    return true;
  }

  removeHolder(agent: Agent): boolean {
    if (!this.groups.get(agent.hello.zone)?.holders.delete(agent.slot)) return false;
    this.holders -= 1;
    agent.holdings -= 1;
    return true;
  }
}
