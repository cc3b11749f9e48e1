import { peersPerTake } from './limits.ts';
import type { AgentMessage, Failure, Peer, ShardMessage } from './messages.ts';
import { DownloadLimit } from './schedule/download-limit.ts';
import { LinkPace } from './schedule/link-pace.ts';
import { RandomPool } from './schedule/random-pool.ts';
import { Request } from './schedule/request.ts';
import { Suspects } from './schedule/suspects.ts';
import { Target, type TargetOptions } from './schedule/target.ts';
import { Window } from './schedule/window.ts';

export interface ScheduleLimits {
  /** Pieces downloaded from peers at once; fewer over a slow link (schedule/download-limit.ts). */
  readonly downloads: number;
  /** Pieces fetched from the origin at once: two to four (docs/swarm.md, leases). */
  readonly leases: number;
  /** Bytes ahead of the readers, as the cache allows. */
  readonly windowBytes: number;
}

/** Sums since the start. */
export interface ScheduleCounts {
  /** Leases that this node was given, and those that came to nothing. */
  readonly leases: number;
  readonly failedLeases: number;
  /** Second downloads of a piece whose first was slow, and those that brought it. */
  readonly hedges: number;
  readonly hedgesWon: number;
  /** Pieces that are being fetched from the origin now. */
  readonly fetching: number;
}

export const defaultScheduleLimits: Omit<ScheduleLimits, 'windowBytes'> = { downloads: 8, leases: 4 };

/**
 * Uploads at once of a node whose uplink is like most nodes': half as many again as the downloads of one, so that a
 * request seldom meets a busy peer. A node with a tenth of the uplink takes a tenth.
 */
export const defaultUploadSlots = 12;

/** What the schedule has others do. Called from within its methods; none may call back into the schedule. */
export interface ScheduleOutput {
  /** To the shard of the message's blob and piece. */
  say(message: AgentMessage): void;
  /** Get the piece from the peer; then `downloaded`, `busy` or `failed`. */
  download(blob: string, piece: number, peer: Peer, crc32c: number | undefined): void;
  /** Get the piece from the origin; then `fetched` or `fetchFailed`. */
  fetch(blob: string, piece: number): void;
  /** The download is no longer needed: another source was faster, or nobody wants the blob. */
  abort(blob: string, piece: number, peer: string): void;
}

export interface ScheduleOptions {
  readonly limits: ScheduleLimits;
  readonly output: ScheduleOutput;
  /** Milliseconds, never going back. */
  readonly now: () => number;
  /** In [0, 1). */
  readonly random: () => number;
}

/** Share of a sliding window that is wanted at once, and its bounds. A shard keeps 1,024 wants of an agent. */
const wantedShare = 0.25;
const fewestWants = 32;
const mostWants = 1_024;
/** Downloads beyond the limit that are asked for, so that the next one starts without a round trip to a shard. */
const spareTakes = 2;
/** First pause after every peer was busy. Doubled with each attempt, with jitter. Milliseconds. */
const firstRest = 20;
const longestRest = 1_000;
/** A third of the default `transferTimeout`: a lost report does no harm. Milliseconds. */
const progressInterval = 5_000;
/** The reader's next piece is asked of a second peer once it takes so many times as long as usual. */
const hedgeFactor = 3;
/** No hedge before. Milliseconds. */
const hedgeFloor = 250;

/**
 * What one agent does next to bring its blobs here: which pieces it asks for, from whom it takes them, and when it turns
 * elsewhere. Pure: the driver moves the bytes, carries the messages and calls `tick` at `nextDeadline`.
 */
export class Schedule {
  readonly #options: ScheduleOptions;
  readonly #window: Window;
  /** In the window; their shards were not asked yet. */
  readonly #pool: RandomPool<Request>;
  /** To be had from peers, as far as known; taken before others are asked for. */
  readonly #available: RandomPool<Request>;
  readonly #suspects: Suspects;
  /** Undecided: without a lease in sight, and with. */
  readonly #plain = new Set<Request>();
  readonly #marked = new Set<Request>();
  /** Undecided, but peers had it a moment ago. */
  readonly #expected = new Set<Request>();
  /** Named peers have it; waits for a download. */
  readonly #ready = new Set<Request>();
  readonly #active = new Set<Request>();
  readonly #resting = new Set<Request>();
  #downloading = 0;
  #fetching = 0;
  /** The readers' next pieces, while they are on their way. */
  readonly #awaited = new Set<Request>();
  #leases: number;
  readonly #limit: DownloadLimit;
  readonly #pace: LinkPace;
  readonly #counts = { leases: 0, failedLeases: 0, hedges: 0, hedgesWon: 0 };
  /** Moving average of a download's duration. Milliseconds. */
  #usual = 0;
  #progressAt = 0;

  constructor(options: ScheduleOptions) {
    this.#options = options;
    this.#leases = options.limits.leases;
    this.#limit = new DownloadLimit({ most: options.limits.downloads, now: options.now });
    this.#pace = new LinkPace(options.now);
    this.#window = new Window(options.limits.windowBytes);
    this.#pool = new RandomPool(options.random);
    this.#available = new RandomPool(options.random);
    this.#suspects = new Suspects(options.now);
  }

  /** What has happened since the start, and pieces that are being fetched from the origin now. */
  get counts(): ScheduleCounts {
    return { ...this.#counts, fetching: this.#fetching };
  }

  /** How quick this node's link is: what the shards are told. */
  get pace(): number {
    return this.#pace.value;
  }

  /** When `tick` has something to do next; undefined: nothing until the next event. */
  get nextDeadline(): number | undefined {
    let next = Number.POSITIVE_INFINITY;
    for (const request of this.#resting) next = Math.min(next, request.restsUntil);
    if (this.#active.size > 0) next = Math.min(next, this.#progressAt);
    for (const request of this.#awaited) {
      if (canHedge(request) && request.untried.length > 0) next = Math.min(next, this.#hedgeAt(request));
    }
    return Number.isFinite(next) ? next : undefined;
  }

  /** Blobs are brought here in the order in which they are added. `held`: pieces that are here already. */
  add(options: TargetOptions, held: Iterable<number> = []): void {
    if (this.#window.target(options.blob) !== undefined) return;
    const target = new Target(options);
    for (const piece of held) target.hold(piece);
    this.#window.add(target);
    this.#pump();
  }

  /** Nobody here is interested in the blob any more. What is here stays announced until it is evicted. */
  remove(blob: string): void {
    const target = this.#window.target(blob);
    if (target === undefined) return;
    for (const request of [...target.requests.values()]) {
      for (const peer of request.sources) this.#options.output.abort(blob, request.piece, peer);
      if (request.phase !== 'resting') this.#say('cancel', request);
      this.#finish(request);
    }
    this.#window.remove(target);
    this.#pump();
  }

  /** Leases that are asked for at once from now on: 0 while the origin fails this node. */
  set leases(count: number) {
    this.#leases = count;
    this.#pump();
  }

  /** What is on its way here for a blob: a piece is being downloaded, or fetched from the origin. */
  isActive(blob: string): boolean {
    for (const request of this.#active) if (request.target.blob === blob) return true;
    return false;
  }

  /** The blob's pieces before `end` are wanted, and no others for now. */
  reach(blob: string, end: number): void {
    const target = this.#window.target(blob);
    if (target === undefined || target.end >= end) return;
    target.end = Math.min(end, target.pieces);
    this.#pump();
  }

  /** Somebody waits for this piece, wherever the reader is. */
  await(blob: string, piece: number): void {
    const target = this.#window.target(blob);
    if (target === undefined || piece >= target.pieces || target.isHeld(piece)) return;
    this.#await(target, piece);
    this.#pump();
  }

  /** The reader has had everything before `piece` and waits for that one. */
  readerAt(blob: string, piece: number): void {
    const target = this.#window.target(blob);
    if (target === undefined) return;
    this.#window.moveReader(target, piece);
    if (piece < target.pieces && !target.isHeld(piece)) this.#await(target, piece);
    this.#pump();
  }

  /** A shard has decided. */
  decided(message: ShardMessage): void {
    const request = this.#find(message.blob, message.piece);
    if (request === undefined || request.phase === 'idle' || request.phase === 'resting') {
      this.#options.output.say({ kind: 'cancel', blob: message.blob, piece: message.piece });
      return;
    }
    if (request.phase !== 'undecided') return;
    this.#plain.delete(request);
    this.#marked.delete(request);
    this.#expected.delete(request);
    if (message.kind === 'take') {
      request.crc32c = message.crc32c;
      request.untried = [...message.peers];
      if (request.urgent || this.#hasRoom) this.#makeReady(request);
      else this.#postpone(request);
    } else {
      request.phase = 'fetching';
      this.#fetching += 1;
      this.#counts.leases += 1;
      this.#activate(request);
      this.#options.output.fetch(message.blob, message.piece);
    }
    this.#pump();
  }

  downloaded(blob: string, piece: number, peer: string, crc32c: number): void {
    this.#suspects.succeeded(peer);
    const request = this.#find(blob, piece);
    if (request?.phase !== 'downloading') return;
    const duration = this.#options.now() - request.since;
    this.#usual = this.#usual === 0 ? duration : this.#usual * 0.9 + duration * 0.1;
    // A hedge's peer was added last.
    if (request.sources.size > 1 && [...request.sources].at(-1) === peer) this.#counts.hedgesWon += 1;
    this.#pace.arrived(request.target.pieceBytes);
    this.#limit.arrived(request.target.pieceBytes, this.#downloading >= this.#limit.count);
    for (const source of request.sources) if (source !== peer) this.#options.output.abort(blob, piece, source);
    this.#arrived(request, crc32c);
  }

  /** The piece came from the origin. Its CRC32C becomes the swarm's. */
  fetched(blob: string, piece: number, crc32c: number): void {
    const request = this.#find(blob, piece);
    if (request?.phase !== 'fetching') return;
    this.#pace.arrived(request.target.pieceBytes);
    this.#arrived(request, crc32c);
  }

  /** The piece is here, by another way than the schedule's. */
  obtained(blob: string, piece: number, crc32c: number): void {
    const request = this.#find(blob, piece);
    if (request === undefined) {
      this.#window.target(blob)?.hold(piece);
      this.#options.output.say({ kind: 'have', blob, piece, crc32c, verified: false });
      return;
    }
    for (const source of request.sources) this.#options.output.abort(blob, piece, source);
    this.#arrived(request, crc32c);
  }

  /** The peer has all its uploads in use. */
  busy(blob: string, piece: number, peer: string): void {
    this.#tryNext(this.#find(blob, piece), peer);
  }

  failed(blob: string, piece: number, peer: string, failure: Failure): void {
    if (failure !== 'absent') this.#suspects.failed(peer);
    this.#options.output.say({ kind: 'failed', blob, piece, peer, failure });
    this.#tryNext(this.#find(blob, piece), peer);
  }

  /** The origin did not give the piece: the next agent that waits for it gets the lease. */
  fetchFailed(blob: string, piece: number): void {
    const request = this.#find(blob, piece);
    if (request?.phase === 'fetching') {
      this.#counts.failedLeases += 1;
      this.#rest(request);
    }
    this.#pump();
  }

  /** The cache has dropped the piece. */
  evicted(blob: string, piece: number): void {
    this.#options.output.say({ kind: 'gone', blob, piece });
    const target = this.#window.target(blob);
    if (target === undefined || !target.isHeld(piece)) return;
    target.lose(piece);
    if (piece >= target.reader && piece < target.frontier) this.#admit(target, piece);
    this.#pump();
  }

  /** The directory's shards have changed: asks again for what was asked of a shard that `moved` says is another now. */
  replaced(moved: (blob: string, piece: number) => boolean): void {
    for (const { requests } of this.#window.targets) {
      for (const request of requests.values()) {
        if (request.phase === 'undecided' && moved(request.target.blob, request.piece)) this.#ask(request);
      }
    }
  }

  tick(): void {
    const now = this.#options.now();
    for (const request of this.#resting) {
      if (request.restsUntil > now) continue;
      this.#resting.delete(request);
      request.phase = 'idle';
      if (request.urgent) this.#want(request);
      else this.#pool.add(request);
    }
    if (now >= this.#progressAt) {
      this.#progressAt = now + progressInterval;
      for (const request of this.#active) this.#say('progress', request);
    }
    for (const request of this.#awaited) {
      if (canHedge(request) && now >= this.#hedgeAt(request) && this.#startNext(request)) this.#counts.hedges += 1;
    }
    this.#pump();
  }

  /** A reader's next piece goes before everything else. */
  #await(target: Target, piece: number): void {
    if (target.isAbsent(piece)) this.#admit(target, piece);
    const request = target.requests.get(piece);
    if (request === undefined || request.urgent) return;
    this.#awaited.add(request);
    request.urgent = true;
    if (request.phase === 'idle') this.#pursue(request);
    else if (request.phase === 'undecided') this.#ask(request);
  }

  #admit(target: Target, piece: number): void {
    target.admit(piece);
    const request = new Request(target, piece);
    target.requests.set(piece, request);
    this.#pool.add(request);
  }

  #pump(): void {
    this.#window.widen((target, piece) => this.#admit(target, piece));
    this.#startReady();
    while (this.#hasRoom && this.#plain.size + this.#marked.size < this.#wants) {
      const request = this.#available.take() ?? this.#pool.take();
      if (request === undefined) break;
      if (request.phase === 'idle') this.#pursue(request);
    }
    this.#startReady();
    // The readers' first: they were asked for last, and would get a lease when all others had theirs.
    for (const request of this.#awaited) this.#offerLease(request);
    for (const request of this.#plain) {
      if (!this.#hasFreeLease) break;
      this.#offerLease(request);
    }
  }

  #offerLease(request: Request): void {
    if (this.#hasFreeLease && this.#plain.has(request)) this.#ask(request);
  }

  get #hasFreeLease(): boolean {
    return this.#fetching + this.#marked.size < this.#limit.shareOf(this.#leases);
  }

  /** Whether a piece that were decided on now would soon be downloaded. */
  get #hasRoom(): boolean {
    return this.#downloading + this.#ready.size + this.#expected.size < this.#limit.count + spareTakes;
  }

  /**
   * Undecided wants at once. Once the window has everything there is, all of it: whatever the origin yields next is
   * welcome. While the window slides, a part of it: else every node waits for the same pieces, has the same pieces, and
   * has nothing to give to the others (docs/swarm.md, order).
   */
  get #wants(): number {
    if (this.#window.complete) return mostWants;
    return Math.min(mostWants, Math.max(fewestWants, this.#window.pieces * wantedShare));
  }

  #makeReady(request: Request): void {
    request.phase = 'ready';
    this.#ready.add(request);
  }

  /**
   * Peers have it, but all downloads are busy. While few have it, others who wait for it go first; once many have it, it
   * does not matter to the others, and the peers named will do later.
   */
  #postpone(request: Request): void {
    if (request.untried.length < peersPerTake) {
      this.#say('cancel', request);
      request.untried = [];
    }
    request.phase = 'idle';
    request.available = true;
    this.#available.add(request);
  }

  /** Asks for an idle piece, or takes it from the peers that are known already. */
  #pursue(request: Request): void {
    if (request.untried.length > 0) this.#makeReady(request);
    else this.#want(request);
  }

  #startReady(): void {
    while (this.#downloading < this.#limit.count) {
      const request = this.#nextReady();
      if (request === undefined) return;
      this.#ready.delete(request);
      request.phase = 'downloading';
      request.since = this.#options.now();
      this.#activate(request);
      this.#tryNext(request);
    }
  }

  /** What readers wait for goes first; of that, what has been waited for longest. */
  #nextReady(): Request | undefined {
    for (const request of this.#awaited) if (request.phase === 'ready') return request;
    for (const request of this.#ready) return request;
    return undefined;
  }

  /** Turns to the next peer; when there is none left, the shard is asked again, after a pause unless it is the first time. */
  #tryNext(request: Request | undefined, unsuccessful?: string): void {
    if (request?.phase !== 'downloading') return;
    if (unsuccessful !== undefined && request.sources.delete(unsuccessful)) this.#downloading -= 1;
    if (!this.#startNext(request) && request.sources.size === 0) {
      request.attempts += 1;
      this.#rest(request);
    }
    if (unsuccessful !== undefined) this.#pump();
  }

  #startNext(request: Request): boolean {
    const { blob } = request.target;
    for (let peer = request.untried.shift(); peer !== undefined; peer = request.untried.shift()) {
      if (this.#suspects.has(peer.id)) {
        this.#options.output.say({ kind: 'failed', blob, piece: request.piece, peer: peer.id, failure: 'unreachable' });
        continue;
      }
      request.sources.add(peer.id);
      this.#downloading += 1;
      this.#options.output.download(blob, request.piece, peer, request.crc32c);
      return true;
    }
    return false;
  }

  #want(request: Request): void {
    request.phase = 'undecided';
    if (request.available) this.#expected.add(request);
    this.#ask(request);
  }

  #ask(request: Request): void {
    this.#plain.delete(request);
    if (!this.#marked.has(request) && !this.#hasFreeLease && request.urgent) this.#yieldMark();
    request.lease = this.#marked.has(request) || this.#hasFreeLease;
    if (request.lease) this.#marked.add(request);
    else this.#plain.add(request);
    this.#sayWant(request);
  }

  /** What a reader waits for is fetched before what lies ahead: another want gives its prospect of a lease away. */
  #yieldMark(): void {
    for (const request of this.#marked) {
      if (request.urgent) continue;
      this.#marked.delete(request);
      this.#plain.add(request);
      request.lease = false;
      this.#sayWant(request);
      return;
    }
  }

  #sayWant({ target: { blob, source }, piece, lease, urgent }: Request): void {
    this.#options.output.say({ kind: 'want', blob, piece, lease, urgent, source });
  }

  #activate(request: Request): void {
    if (this.#active.size === 0) this.#progressAt = this.#options.now() + progressInterval;
    this.#active.add(request);
    this.#pace.changed(this.#active.size);
  }

  #rest(request: Request): void {
    this.#say('cancel', request);
    this.#release(request);
    request.untried = [];
    const pause = Math.min(longestRest, firstRest * 2 ** request.attempts);
    request.phase = 'resting';
    request.restsUntil = this.#options.now() + pause * (0.5 + this.#options.random());
    this.#resting.add(request);
  }

  #arrived(request: Request, crc32c: number): void {
    const { target, piece } = request;
    this.#finish(request);
    target.hold(piece);
    this.#options.output.say({ kind: 'have', blob: target.blob, piece, crc32c, verified: false });
    this.#pump();
  }

  #finish(request: Request): void {
    this.#release(request);
    request.phase = 'done';
    request.target.requests.delete(request.piece);
    this.#awaited.delete(request);
  }

  /** Takes the request out of every count and set. */
  #release(request: Request): void {
    this.#plain.delete(request);
    this.#marked.delete(request);
    this.#expected.delete(request);
    this.#ready.delete(request);
    this.#resting.delete(request);
    if (this.#active.delete(request)) this.#pace.changed(this.#active.size);
    if (request.phase === 'fetching') this.#fetching -= 1;
    this.#downloading -= request.sources.size;
    request.sources.clear();
  }

  #hedgeAt(request: Request): number {
    return request.since + Math.max(hedgeFloor, this.#usual * hedgeFactor);
  }

  #find(blob: string, piece: number): Request | undefined {
    return this.#window.target(blob)?.requests.get(piece);
  }

  #say(kind: 'progress' | 'cancel', request: Request): void {
    this.#options.output.say({ kind, blob: request.target.blob, piece: request.piece });
  }
}

/** One source alone is asked for it so far. */
function canHedge(request: Request): boolean {
  return request.phase === 'downloading' && request.sources.size === 1;
}
