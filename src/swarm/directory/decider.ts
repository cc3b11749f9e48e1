import { peersPerTake } from '../limits.ts';
import type { ShardMessage } from '../messages.ts';
import type { Agent } from './agent.ts';
import type { AgentSet } from './agent-set.ts';
import type { Agents } from './agents.ts';
import type { Deadlines } from './deadlines.ts';
import type { Origins } from './origins.ts';
import type { PeerChoice } from './peer-choice.ts';
import type { Piece, ZoneGroup } from './piece.ts';
import { Want } from './want.ts';

/**
 * Takes under way at once per holder of a piece and zone. A fresh piece has one holder and a crowd that waits for it: were
 * everyone sent to that holder, all would get a sliver of its uplink, and nobody would have the piece to pass on until
 * all have. Few at a time make it spread in generations (docs/swarm.md has the simulation). From a holder that is slow one at a time:
 * the others have it from that one.
 */
const takesPerHolder = 3;

/** Of so many who came first, the one with the best link fetches for all: on a slow one, everybody would wait for it. */
const compared = 16;

/** An agent that has offered to fetch a piece within so long has a way to the origin. Milliseconds. */
const recently = 2_000;

export interface DeciderOptions {
  readonly agents: Agents;
  readonly choice: PeerChoice;
  readonly deadlines: Deadlines;
  readonly origins: Origins;
  readonly now: () => number;
  /** How long a grant lives without progress. Milliseconds. */
  readonly transferTimeout: number;
  readonly send: (agent: Agent, message: ShardMessage) => void;
}

/** Decides what becomes of the wants for a piece. The only place where grants begin and end. */
export class Decider {
  readonly #options: DeciderOptions;
  /** No leases before: holders may still be announcing themselves. */
  leasesFrom = 0;

  constructor(options: DeciderOptions) {
    this.#options = options;
  }

  /** Decides all that can be decided now. To be called after everything that changed the piece. */
  serve(piece: Piece): void {
    if (piece.waiting === 0) return;
    if (piece.holders > 0) for (const group of piece.groups.values()) this.#serveGroup(piece, group);
    this.#serveFromOrigin(piece);
  }

  /** Ends a grant, however it went; the want is then as if nothing had been decided on it, in no queue. */
  end(want: Want): void {
    const { piece, grant } = want;
    const group = piece.group(want.agent.hello.zone);
    if (grant === 'none') return;
    if (grant === 'take') group.taking -= 1;
    else if (grant === 'crossing') group.crossing = undefined;
    else piece.lease = undefined;
    if (want.uploader !== undefined) want.uploader.uploads -= 1;
    want.uploader = undefined;
    want.grant = 'none';
    piece.granted -= 1;
    if (grant === 'lease') this.#passLease(piece);
  }

  /** The origin has room for another piece's lease. */
  #passLease(former: Piece): void {
    const { origins } = this.#options;
    origins.release(former);
    for (let piece = origins.next(former.source); piece !== undefined; piece = origins.next(former.source)) {
      this.serve(piece);
    }
  }

  #serveGroup(piece: Piece, group: ZoneGroup): void {
    const stranded = group.holders.size === 0 || this.#serveNear(group);
    if (stranded && group.crossing === undefined && piece.holders > group.holders.size) this.#serveAcross(piece, group);
  }

  /** Returns whether there was a want that can't use any of the holders near. */
  #serveNear(group: ZoneGroup): boolean {
    let stranded = false;
    for (const want of group.queue()) {
      if (group.taking >= this.#takesFrom(group.holders)) break;
      if (this.#take(want, group, 'take')) group.taking += 1;
      else stranded = true;
    }
    return stranded;
  }

  /** How many takes may be under way from these holders. */
  #takesFrom(holders: AgentSet): number {
    // Among many, those that are slow matter little.
    if (holders.size > peersPerTake) return holders.size * takesPerHolder;
    const { agents } = this.#options;
    let takes = 0;
    for (let place = 0; place < holders.size; place += 1) {
      const holder = agents.at(holders.at(place));
      takes += holder !== undefined && agents.isSlow(holder) ? 1 : takesPerHolder;
    }
    return takes;
  }

  /** One want of the zone may cross; with holders near, only one that can't use them. */
  #serveAcross(piece: Piece, group: ZoneGroup): void {
    const queue = [...first(group.queue())];
    while (queue.length > 0) {
      const want = ablest(queue);
      if (want === undefined) return;
      queue.splice(queue.indexOf(want), 1);
      if (this.#options.choice.from(group.holders, want.agent).length > 0) continue;
      for (const other of piece.groups.values()) {
        if (other === group || !this.#take(want, other, 'crossing')) continue;
        group.crossing = want;
        return;
      }
    }
  }

  #take(want: Want, from: ZoneGroup, grant: 'take' | 'crossing'): boolean {
    const peers = this.#options.choice.from(from.holders, want.agent);
    const uploader = peers[0];
    if (uploader === undefined) return false;
    const { piece } = want;
    piece.dequeue(want);
    want.uploader = uploader;
    uploader.uploads += 1;
    this.#begin(want, grant);
    this.#options.send(want.agent, {
      kind: 'take',
      blob: piece.blob,
      piece: piece.index,
      crc32c: piece.crc32c,
      peers: peers.map((peer) => peer.hello),
    });
    return true;
  }

  /** What is left undecided has no holder that it may be sent to. While anything is under way, there will be one. */
  #serveFromOrigin(piece: Piece): void {
    if (piece.granted > 0 || piece.waiting === 0 || this.#options.now() < this.leasesFrom) return;
    const want = this.#unaskedFor(piece) ?? this.#candidateFor(piece);
    if (want === undefined || !this.#options.origins.claim(piece)) return;
    if (want.asked) piece.dequeue(want);
    else want.agent.wants.set(piece, want);
    piece.lease = want;
    this.#begin(want, 'lease');
    this.#options.send(want.agent, { kind: 'lease', blob: piece.blob, piece: piece.index, source: piece.source });
  }

  #candidateFor(piece: Piece): Want | undefined {
    const { choice } = this.#options;
    const isStranded = (want: Want): boolean =>
      piece.holders === 0 ||
      [...piece.groups.values()].every((group) => choice.from(group.holders, want.agent).length === 0);
    const candidate = ablest([...first(piece.candidates)].filter(isStranded));
    if (candidate === undefined || !this.#options.agents.isSlow(candidate.agent)) return candidate;
    // Everybody would wait for it. One that has just offered to fetch other pieces can do one more.
    return ablest([...first(piece.queue())].filter((want) => this.#isAble(want) && isStranded(want))) ?? candidate;
  }

  /** Whether its agent fetches from the origin at present, and is not slow. */
  #isAble({ agent }: Want): boolean {
    return agent.offeredAt >= this.#options.now() - recently && !this.#options.agents.isSlow(agent);
  }

  /** A mirror's lease, though it did not ask: the one with the most leases to spare. */
  #unaskedFor(piece: Piece): Want | undefined {
    if (piece.holders > 0) return undefined;
    let best: Agent | undefined;
    for (const mirror of this.#options.agents.mirrors) {
      const free = mirror.hello.leases - mirror.wants.size;
      if (free <= 0 || mirror.wants.has(piece) || piece.declined?.has(mirror)) continue;
      if (best === undefined || free > best.hello.leases - best.wants.size) best = mirror;
    }
    return best === undefined ? undefined : new Want(best, piece, { lease: true, urgent: false, asked: false });
  }

  #begin(want: Want, grant: 'take' | 'crossing' | 'lease'): void {
    want.grant = grant;
    want.deadline = this.#options.now() + this.#options.transferTimeout;
    want.piece.granted += 1;
    this.#options.deadlines.add(want);
  }
}

function* first(wants: Iterable<Want>): Generator<Want, void, undefined> {
  let count = 0;
  for (const want of wants) {
    if (count === compared) return;
    count += 1;
    yield want;
  }
}

/** The first of those with the most upload slots, and of these with the quickest link. */
function ablest(wants: readonly Want[]): Want | undefined {
  let best: Want | undefined;
  for (const want of wants) if (best === undefined || isAbler(want.agent, best.agent)) best = want;
  return best;
}

function isAbler(one: Agent, other: Agent): boolean {
  if (one.hello.slots !== other.hello.slots) return one.hello.slots > other.hello.slots;
  return one.hello.pace > other.hello.pace;
}
