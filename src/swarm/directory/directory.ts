import { type DirectoryLimits, defaultLimits, largestPieceIndex } from '../limits.ts';
import type {
  AgentMessage,
  Cancel,
  Failed,
  Gone,
  Have,
  Hello,
  HelloUpdate,
  Progress,
  ShardMessage,
  Want as WantMessage,
} from '../messages.ts';
import type { Agent } from './agent.ts';
import { Agents } from './agents.ts';
import { Deadlines } from './deadlines.ts';
import { Decider } from './decider.ts';
import { Integrity } from './integrity.ts';
import { Origins } from './origins.ts';
import { PeerChoice } from './peer-choice.ts';
import type { Piece } from './piece.ts';
import { Pieces } from './pieces.ts';
import { Want } from './want.ts';

export interface DirectoryOptions {
  /** Where the decisions go. Called from within the methods; it must not call back into the directory. */
  readonly send: (agent: Agent, message: ShardMessage) => void;
  /** Milliseconds, never going back. */
  readonly now: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  /** How long a decision lives without progress. Milliseconds. */
  readonly transferTimeout: number;
  /**
   * How long no lease is given after the shard came to be or the membership changed: so long holders have to announce
   * what they hold, else the origin would be asked for what the swarm has. Milliseconds.
   */
  readonly settleTime: number;
  /** Shards in the directory, this one among them. */
  readonly shards: number;
  readonly limits?: DirectoryLimits;
}

/** What is in the book, and what was wrong. Counts. */
export interface DirectoryStat {
  readonly agents: number;
  readonly blobs: number;
  readonly pieces: number;
  /** Messages that a bound or a check turned away. */
  readonly refused: number;
  /** Announcements of another CRC32C than the one known. */
  readonly disputes: number;
  readonly lapsed: number;
  readonly banned: number;
}

/**
 * One shard of the directory: who holds which piece, who wants it, and who may fetch it from where. Events go in,
 * decisions come out; no I/O, no timer, no clock of its own. Whoever drives it calls `tick` at `nextDeadline`.
 */
export class Directory {
  readonly #limits: DirectoryLimits;
  readonly #options: DirectoryOptions;
  readonly #agents = new Agents();
  readonly #pieces = new Pieces();
  readonly #deadlines = new Deadlines();
  readonly #origins: Origins;
  readonly #integrity: Integrity;
  readonly #decider: Decider;
  #settling = false;
  #refused = 0;
  #lapsed = 0;

  constructor(options: DirectoryOptions) {
    const { now, random, send, transferTimeout } = options;
    this.#options = options;
    this.#limits = options.limits ?? defaultLimits;
    this.#integrity = new Integrity({
      agents: this.#agents,
      pieces: this.#pieces,
      distrustPerAgent: this.#limits.distrustPerAgent,
      now,
      changed: (piece) => this.#changed(piece),
    });
    this.#origins = new Origins(options.shards, now);
    this.#decider = new Decider({
      agents: this.#agents,
      choice: new PeerChoice(this.#agents, random, now),
      deadlines: this.#deadlines,
      origins: this.#origins,
      now,
      transferTimeout,
      send,
    });
    this.membershipChanged(options.shards);
  }

  /** When `tick` has something to do next, on the clock of `now`; undefined: nothing until the next event. */
  get nextDeadline(): number | undefined {
    const lapse = this.#deadlines.next;
    if (!this.#settling) return lapse;
    return Math.min(lapse ?? Number.POSITIVE_INFINITY, this.#decider.leasesFrom);
  }

  get stat(): DirectoryStat {
    return {
      agents: this.#agents.size,
      blobs: this.#pieces.blobs,
      pieces: this.#pieces.size,
      refused: this.#refused,
      disputes: this.#integrity.disputes,
      lapsed: this.#lapsed,
      banned: this.#integrity.banned,
    };
  }

  /** A stream has begun. A second one of the same id replaces the first. Undefined: the shard is full. */
  join(hello: Hello): Agent | undefined {
    const former = this.#agents.byId(hello.id);
    if (former !== undefined) this.leave(former);
    if (this.#agents.size >= this.#limits.agents) {
      this.#refused += 1;
      return undefined;
    }
    return this.#agents.add(hello);
  }

  /** The agent's link was measured anew, or a mirror takes more or fewer leases. */
  update(agent: Agent, values: HelloUpdate): void {
    this.#agents.update(agent, values);
  }

  /** By how many powers of two the agent's link is slower than most agents'; 0 while its pace is not known. */
  lag(agent: Agent): number {
    return this.#agents.lag(agent);
  }

  /** A stream has ended, however it came: all that the agent held, wanted and had leased is void. */
  leave(agent: Agent): void {
    if (!agent.joined) return;
    const touched = new Set(agent.wants.keys());
    for (const want of agent.wants.values()) this.#withdraw(want);
    if (agent.holdings > 0) for (const piece of this.#pieces.all()) if (piece.removeHolder(agent)) touched.add(piece);
    this.#agents.remove(agent);
    for (const piece of touched) this.#changed(piece);
  }

  /** The directory's members have changed, so this shard may have become responsible for pieces that it knows nothing of. */
  membershipChanged(shards: number): void {
    this.#origins.resize(shards);
    this.#settling = true;
    this.#decider.leasesFrom = this.#options.now() + this.#options.settleTime;
  }

  apply(agent: Agent, message: AgentMessage): void {
    if (!agent.joined) return;
    if (message.kind === 'spoiled') {
      this.#integrity.spoiled(agent, message.blob);
      return;
    }
    const { piece } = message;
    if (!Number.isInteger(piece) || piece < 0 || piece > largestPieceIndex) this.#refused += 1;
    else if (message.kind === 'want') this.#onWant(agent, message);
    else if (message.kind === 'have') this.#onHave(agent, message);
    else this.#onKnown(agent, message);
  }

  /** Lets lapse what has shown no progress, and gives the leases that had to wait. */
  tick(): void {
    const now = this.#options.now();
    for (const want of this.#deadlines.lapsed(now)) {
      this.#lapsed += 1;
      if (want.asked) {
        // Behind all others, so that the next waiter gets it.
        this.#decider.end(want);
        want.piece.enqueue(want);
      } else this.#onCancel(want.agent, want.piece);
      this.#changed(want.piece);
    }
    if (this.#settling && now >= this.#decider.leasesFrom) {
      this.#settling = false;
      for (const piece of this.#pieces.all()) this.#decider.serve(piece);
    }
  }

  #onWant(agent: Agent, message: WantMessage): void {
    const { blob, piece: index, lease, urgent, source } = message;
    const known = this.#pieces.find(blob, index);
    const former = known === undefined ? undefined : agent.wants.get(known);
    // The decision is on its way to the agent, who may act on it: to decide anew would be to fetch twice.
    if (former !== undefined && former.grant !== 'none') return;
    if (former !== undefined) this.#withdraw(former);
    const full = agent.wants.size >= this.#limits.wantsPerAgent || (known === undefined && this.#isFull());
    if (full || this.#integrity.isLoner(blob, agent)) {
      if (full) this.#refused += 1;
      this.#options.send(agent, { kind: 'alone', blob, piece: index });
      if (known !== undefined) this.#changed(known);
      return;
    }
    if (lease) agent.offeredAt = this.#options.now();
    const piece = known ?? this.#pieces.open(blob, index);
    // Settled while somebody waits: the origin's book goes by it.
    if (piece.waiting === 0 && piece.granted === 0) piece.source = source;
    // Who asks for a piece does not have it (any more).
    piece.removeHolder(agent);
    const want = new Want(agent, piece, { lease, urgent, asked: true });
    agent.wants.set(piece, want);
    piece.enqueue(want);
    this.#decider.serve(piece);
  }

  #onHave(agent: Agent, message: Have): void {
    const known = this.#pieces.find(message.blob, message.piece);
    const want = known === undefined ? undefined : agent.wants.get(known);
    const leased = want?.grant === 'lease';
    if (leased) this.#origins.arrived(want.piece);
    if (want !== undefined) this.#withdraw(want);
    const full = agent.holdings >= this.#limits.holdingsPerAgent || (known === undefined && this.#isFull());
    if (full || agent.banned) {
      this.#refused += 1;
      if (known !== undefined) this.#changed(known);
      return;
    }
    const piece = known ?? this.#pieces.open(message.blob, message.piece);
    if (this.#integrity.agrees(agent, piece, message, leased)) piece.addHolder(agent);
    this.#changed(piece);
  }

  /** What only matters for a piece that is in the book. */
  #onKnown(agent: Agent, message: Gone | Failed | Progress | Cancel): void {
    const piece = this.#pieces.find(message.blob, message.piece);
    if (piece === undefined) return;
    if (message.kind === 'gone') piece.removeHolder(agent);
    else if (message.kind === 'progress') this.#onProgress(agent.wants.get(piece));
    else if (message.kind === 'failed') this.#onFailed(agent, piece, message);
    else this.#onCancel(agent, piece);
    this.#changed(piece);
  }

  #onProgress(want: Want | undefined): void {
    if (want === undefined || want.grant === 'none') return;
    const deadline = this.#options.now() + this.#options.transferTimeout;
    // A flood of progress must not become a flood of deadlines.
    if (deadline - want.deadline < this.#options.transferTimeout / 4) return;
    want.deadline = deadline;
    this.#deadlines.add(want);
  }

  #onFailed(agent: Agent, piece: Piece, message: Failed): void {
    const peer = this.#agents.byId(message.peer);
    if (peer === undefined || peer === agent) return;
    this.#integrity.failed(agent, peer, piece, message.failure);
  }

  #onCancel(agent: Agent, piece: Piece): void {
    const want = agent.wants.get(piece);
    if (want === undefined) return;
    // The origin fails it: until it offers again, nobody counts on it.
    if (want.grant === 'lease') agent.offeredAt = Number.NEGATIVE_INFINITY;
    this.#withdraw(want);
    if (want.asked) return;
    piece.declined ??= new Set();
    piece.declined.add(agent);
  }

  /** Takes a want off the books, whatever was decided on it. */
  #withdraw(want: Want): void {
    if (want.grant === 'none') want.piece.dequeue(want);
    else this.#decider.end(want);
    want.agent.wants.delete(want.piece);
  }

  #changed(piece: Piece): void {
    this.#decider.serve(piece);
    if (!piece.idle) return;
    this.#origins.forget(piece);
    this.#pieces.close(piece);
  }

  #isFull(): boolean {
    return this.#pieces.size >= this.#limits.pieces;
  }
}
