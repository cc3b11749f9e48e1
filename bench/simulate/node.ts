import type { AgentMessage, Hello, Peer, ShardMessage } from '../../src/swarm/messages.ts';
import { Schedule, type ScheduleOutput } from '../../src/swarm/schedule.ts';
import type { Flow } from './network.ts';
import { connectTimeout, latency, type SwarmModel, transferTimeout } from './swarm-model.ts';

interface Transfer {
  readonly blob: string;
  readonly piece: number;
  readonly source: string;
  readonly flow: Flow;
  uploader: SimulatedNode | undefined;
}

/** One node: the production schedule, with a piece server, a cache and a reader that is never the bottleneck. */
export class SimulatedNode implements ScheduleOutput {
  /** In the order in which nodes came to be. */
  readonly number: number;
  readonly hello: Hello;
  readonly link: number;
  readonly slow: boolean;
  readonly zone: string;
  alive = true;
  startedAt = 0;
  finishedAt = Number.NaN;
  readonly #model: SwarmModel;
  readonly #schedule: Schedule;
  /** Pieces in the cache, by blob. */
  readonly #cache = new Map<string, Uint8Array>();
  #cachedBytes = 0;
  #uploads = 0;
  /** What comes in. */
  readonly #transfers = new Set<Transfer>();
  /** Who gets what from this node. */
  readonly #uploading = new Map<Transfer, SimulatedNode>();
  #readerBlob = 0;
  #readerPiece = 0;
  #evictBlob = 0;
  #evictPiece = 0;
  #armed = Number.POSITIVE_INFINITY;

  constructor(model: SwarmModel, number: number, hello: Hello, link: number, slow: boolean) {
    this.#model = model;
    this.number = number;
    this.hello = hello;
    this.link = link;
    this.slow = slow;
    this.zone = hello.zone;
    for (const blob of model.scenario.image.blobs)
      this.#cache.set(blob, new Uint8Array(model.scenario.image.piecesPerBlob));
    this.#schedule = new Schedule({
      limits: model.scenario.limits,
      output: this,
      now: () => model.now,
      random: model.random,
    });
  }

  get pace(): number {
    return this.#schedule.pace;
  }

  start(): void {
    if (!this.alive) return;
    const { image } = this.#model.scenario;
    this.startedAt = this.#model.now;
    for (const blob of image.blobs) {
      this.#schedule.add({
        blob,
        pieces: image.piecesPerBlob,
        pieceBytes: image.pieceBytes,
        source: 'registry.example/image',
      });
    }
    this.#read();
    this.#arm();
  }

  /** Without a word: whoever talks to it finds out by a timeout. */
  die(): void {
    this.#model.settled(this);
    this.alive = false;
    for (const transfer of this.#transfers) this.#stop(transfer);
    for (const [{ blob, piece }, requester] of this.#uploading) requester.#starve(blob, piece, this.hello.id);
  }

  /** A peer has fallen silent in the middle. */
  #starve(blob: string, piece: number, peer: string): void {
    const model = this.#model;
    this.abort(blob, piece, peer);
    model.queue.at(model.now + transferTimeout, () =>
      this.#on(() => this.#schedule.failed(blob, piece, peer, 'unreachable')),
    );
  }

  decided(message: ShardMessage): void {
    if (!this.alive) return;
    this.#schedule.decided(message);
    this.#arm();
  }

  membershipChanged(moved: (blob: string, piece: number) => boolean): void {
    this.#schedule.replaced(moved);
    for (const [blob, pieces] of this.#cache) {
      for (let piece = pieces.indexOf(1); piece >= 0; piece = pieces.indexOf(1, piece + 1)) {
        if (moved(blob, piece)) this.say({ kind: 'have', blob, piece, crc32c: 0, verified: false });
      }
    }
  }

  say(message: AgentMessage): void {
    this.#model.say(this, message);
  }

  fetch(blob: string, piece: number): void {
    const model = this.#model;
    model.queue.at(model.now + 2 * latency.origin, () => {
      if (!this.alive) return;
      this.#receive(model.origin, blob, piece, 'origin', () => {
        model.originBytes += model.scenario.image.pieceBytes;
        this.#store(blob, piece);
        this.#schedule.fetched(blob, piece, 0);
      });
    });
  }

  download(blob: string, piece: number, peer: Peer): void {
    const model = this.#model;
    const source = model.nodesByAddress.get(peer.address);
    if (source === undefined) return;
    model.requests += 1;
    model.queue.at(model.now + model.delay(this, source), () => source.#serve(this, blob, piece));
  }

  abort(blob: string, piece: number, peer: string): void {
    for (const transfer of this.#transfers) {
      if (transfer.piece === piece && transfer.source === peer && transfer.blob === blob) this.#stop(transfer);
    }
  }

  /** A request for a piece has come in. */
  #serve(requester: SimulatedNode, blob: string, piece: number): void {
    const model = this.#model;
    const answer = (after: number, then: () => void): void =>
      model.queue.at(model.now + after, () => requester.#on(then));
    const { id } = this.hello;
    if (!this.alive) {
      answer(connectTimeout, () => requester.#schedule.failed(blob, piece, id, 'unreachable'));
    } else if (this.#cache.get(blob)?.[piece] !== 1) {
      answer(model.delay(this, requester), () => requester.#schedule.failed(blob, piece, id, 'absent'));
    } else if (this.#uploads >= this.hello.slots) {
      model.busy += 1;
      answer(model.delay(this, requester), () => requester.#schedule.busy(blob, piece, id));
    } else if (requester.alive) {
      this.#upload(requester, blob, piece);
    }
  }

  #upload(requester: SimulatedNode, blob: string, piece: number): void {
    const model = this.#model;
    const { id } = this.hello;
    this.#uploads += 1;
    const transfer: Transfer = requester.#receive(this.link, blob, piece, id, () => {
      this.#uploaded(transfer);
      if (this.zone !== requester.zone) model.crossZoneBytes += model.scenario.image.pieceBytes;
      requester.#store(blob, piece);
      requester.#schedule.downloaded(blob, piece, id, 0);
    });
    transfer.uploader = this;
    this.#uploading.set(transfer, requester);
  }

  #uploaded(transfer: Transfer): void {
    if (this.#uploading.delete(transfer)) this.#uploads -= 1;
  }

  #receive(from: number, blob: string, piece: number, source: string, done: () => void): Transfer {
    const { network, scenario } = this.#model;
    const flow = network.start(from, this.link, scenario.image.pieceBytes, () => {
      this.#transfers.delete(transfer);
      this.#on(done);
    });
    const transfer: Transfer = { blob, piece, source, flow, uploader: undefined };
    this.#transfers.add(transfer);
    return transfer;
  }

  /** Ends a transfer before it is done. */
  #stop(transfer: Transfer): void {
    if (!this.#transfers.delete(transfer)) return;
    this.#model.network.stop(transfer.flow);
    if (transfer.uploader !== undefined) transfer.uploader.#uploaded(transfer);
  }

  /** Something has happened to the schedule: the reader may go on, and its next deadline may have changed. */
  #on(event: () => void): void {
    if (!this.alive) return;
    event();
    this.#read();
    this.#arm();
  }

  #store(blob: string, piece: number): void {
    const pieces = this.#cache.get(blob);
    if (pieces === undefined || pieces[piece] === 1) return;
    pieces[piece] = 1;
    this.#model.received += this.#model.scenario.image.pieceBytes;
    this.#cachedBytes += this.#model.scenario.image.pieceBytes;
  }

  #read(): void {
    const { blobs, piecesPerBlob } = this.#model.scenario.image;
    if (!Number.isNaN(this.finishedAt)) return;
    for (let blob = blobs[this.#readerBlob]; blob !== undefined; blob = blobs[this.#readerBlob]) {
      const pieces = this.#cache.get(blob);
      const from = this.#readerPiece;
      while (pieces?.[this.#readerPiece] === 1) this.#readerPiece += 1;
      if (this.#readerPiece > from || from === 0) this.#schedule.readerAt(blob, this.#readerPiece);
      if (this.#readerPiece < piecesPerBlob) break;
      this.#readerBlob += 1;
      this.#readerPiece = 0;
    }
    this.#evict();
    if (this.#readerBlob < blobs.length) return;
    this.finishedAt = this.#model.now;
    this.#model.settled(this);
  }

  /** The cache drops what was read first. */
  #evict(): void {
    const { image, cacheBytes } = this.#model.scenario;
    while (this.#cachedBytes > cacheBytes) {
      if (this.#evictBlob === this.#readerBlob && this.#evictPiece >= this.#readerPiece) return;
      const blob = image.blobs[this.#evictBlob] ?? '';
      const pieces = this.#cache.get(blob);
      if (pieces?.[this.#evictPiece] === 1) {
        pieces[this.#evictPiece] = 0;
        this.#cachedBytes -= image.pieceBytes;
        this.#schedule.evicted(blob, this.#evictPiece);
      }
      this.#evictPiece += 1;
      if (this.#evictPiece < image.piecesPerBlob) continue;
      this.#evictPiece = 0;
      this.#evictBlob += 1;
    }
  }

  #arm(): void {
    const next = this.#schedule.nextDeadline;
    if (next === undefined || next >= this.#armed) return;
    this.#armed = next;
    this.#model.queue.at(next, () => {
      if (this.#armed !== next) return;
      this.#armed = Number.POSITIVE_INFINITY;
      this.#on(() => this.#schedule.tick());
    });
  }
}
