import type { Clock } from '../clock.ts';
import type { AgentMessage, Peer, ShardMessage, Want } from './messages.ts';
import { OriginLine } from './origin-line.ts';
import type { TargetOptions } from './schedule/target.ts';
import { Schedule, type ScheduleCounts, type ScheduleLimits, type ScheduleOutput } from './schedule.ts';
import type { PieceClient } from './transfer/client.ts';
import { TransferError } from './transfer/types.ts';
import type { Destination } from './types.ts';

export interface DriverOptions {
  readonly limits: ScheduleLimits;
  readonly client: Pick<PieceClient, 'fetch'>;
  /** The peers are mirrors that fetch what they don't have: they are told from where. */
  readonly hints: boolean;
  /** To the shard of the message's blob and piece. */
  readonly say: (message: AgentMessage) => void;
  /** A connection to the peer failed. */
  readonly unreachable: (peer: string) => void;
  readonly clock: Clock;
}

interface PeerPiece {
  readonly blob: string;
  readonly piece: number;
  readonly peer: Peer;
}

interface Bringing {
  readonly destination: Destination;
  /** Ends what is under way, by piece and peer; the origin's name is empty. */
  readonly underWay: Map<string, AbortController>;
}

/** Moves the bytes that the schedule decides on, and tells it what came of it. */
export class Driver implements ScheduleOutput {
  readonly #options: DriverOptions;
  readonly #schedule: Schedule;
  readonly #blobs = new Map<string, Bringing>();
  readonly #origin: OriginLine;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #closed = false;

  constructor(options: DriverOptions) {
    const { clock, limits } = options;
    this.#options = options;
    this.#schedule = new Schedule({ limits, output: this, now: clock.now, random: clock.random });
    this.#origin = new OriginLine({
      limits,
      clock,
      changed: (leases) => {
        this.#schedule.leases = leases;
      },
    });
  }

  /** Begins to bring a blob here. `held`: pieces that are here already. */
  add(target: TargetOptions, destination: Destination, held: Iterable<number>): void {
    this.#blobs.set(target.blob, { destination, underWay: new Map() });
    this.#after(() => this.#schedule.add(target, held));
  }

  /** Nobody here is interested in the blob any more: what is under way for it ends. */
  remove(blob: string): void {
    const bringing = this.#blobs.get(blob);
    if (bringing === undefined) return;
    this.#blobs.delete(blob);
    this.#after(() => this.#schedule.remove(blob));
    for (const abort of bringing.underWay.values()) abort.abort();
  }

  /** The reader has had everything before `piece`. */
  readerAt(blob: string, piece: number): void {
    this.#after(() => this.#schedule.readerAt(blob, piece));
  }

  /** Somebody waits for the piece. */
  await(blob: string, piece: number): void {
    this.#after(() => this.#schedule.await(blob, piece));
  }

  /** The pieces before `end` are wanted. */
  reach(blob: string, end: number): void {
    this.#after(() => this.#schedule.reach(blob, end));
  }

  /** A piece is here that came by another way. */
  obtained(blob: string, piece: number, crc32c: number): void {
    this.#after(() => this.#schedule.obtained(blob, piece, crc32c));
  }

  get counts(): ScheduleCounts {
    return this.#schedule.counts;
  }

  /** How quick this node's link is. */
  get pace(): number {
    return this.#schedule.pace;
  }

  isActive(blob: string): boolean {
    return this.#schedule.isActive(blob);
  }

  /** The piece has left the store. */
  removed(blob: string, piece: number): void {
    if (!this.#closed) this.#after(() => this.#schedule.evicted(blob, piece));
  }

  /** A shard has decided. */
  decided(message: ShardMessage): void {
    this.#after(() => this.#schedule.decided(message));
  }

  /** The directory's shards have changed. */
  replaced(moved: (blob: string, piece: number) => boolean): void {
    this.#after(() => this.#schedule.replaced(moved));
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const blob of [...this.#blobs.keys()]) this.remove(blob);
    this.#origin.close();
  }

  say(message: AgentMessage): void {
    if (this.#closed) return;
    this.#options.say(message.kind === 'want' ? this.#traced(message) : message);
  }

  download(blob: string, piece: number, peer: Peer, crc32c: number | undefined): void {
    const bringing = this.#blobs.get(blob);
    if (bringing === undefined) return;
    const abort = begin(bringing, piece, peer.id);
    void this.#download(bringing.destination, { blob, piece, peer, crc32c }, abort.signal)
      .then(
        (actual) => () => this.#schedule.downloaded(blob, piece, peer.id, actual),
        (error: unknown) => () => this.#downloadFailed({ blob, piece, peer }, error, abort.signal),
      )
      .then((report) => {
        end(bringing, piece, peer.id, abort);
        if (!this.#closed) this.#after(report);
      });
  }

  fetch(blob: string, piece: number): void {
    const bringing = this.#blobs.get(blob);
    if (bringing === undefined) return;
    const abort = begin(bringing, piece, '');
    void this.#origin
      .run((firstByte) => bringing.destination.fetch(piece, firstByte, abort.signal), abort.signal)
      .then(
        (crc32c) => () => this.#schedule.fetched(blob, piece, crc32c),
        () => () => {
          if (!abort.signal.aborted) this.#schedule.fetchFailed(blob, piece);
        },
      )
      .then((report) => {
        end(bringing, piece, '', abort);
        if (!this.#closed) this.#after(report);
      });
  }

  abort(blob: string, piece: number, peer: string): void {
    this.#blobs.get(blob)?.underWay.get(nameOf(piece, peer))?.abort();
  }

  async #download(
    destination: Destination,
    what: PeerPiece & { readonly crc32c: number | undefined },
    signal: AbortSignal,
  ): Promise<number> {
    const { blob, piece, peer, crc32c } = what;
    const { client, hints } = this.#options;
    const memory = await destination.reserve(piece, peer.id, signal);
    try {
      const key = { digest: blob, index: piece };
      const request = { peer, key, crc32c, destination: memory.buffer, signal, trace: destination.trace };
      const actual = await client.fetch(hints ? { ...request, source: destination.source } : request);
      memory.commit(actual);
      return actual;
    } catch (error) {
      memory.abort();
      throw error;
    }
  }

  #traced(want: Want): Want {
    const trace = this.#blobs.get(want.blob)?.destination.trace;
    return trace === undefined ? want : { ...want, trace: trace.traceparent };
  }

  #downloadFailed({ blob, piece, peer }: PeerPiece, error: unknown, signal: AbortSignal): void {
    if (signal.aborted) return;
    // What is no transfer's failure is this node's own: it has no memory to receive into. Like a busy peer, that passes.
    if (!(error instanceof TransferError) || error.kind === 'busy') {
      this.#schedule.busy(blob, piece, peer.id);
      return;
    }
    if (error.kind === 'unreachable') this.#options.unreachable(peer.id);
    this.#schedule.failed(blob, piece, peer.id, error.kind);
  }

  /** Lets something happen to the schedule, and sees to its next deadline. */
  #after(event: () => void): void {
    event();
    const next = this.#closed ? undefined : this.#schedule.nextDeadline;
    if (next === undefined || next >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = next;
    this.#timer = setTimeout(
      () => {
        this.#timerAt = Number.POSITIVE_INFINITY;
        this.#after(() => this.#schedule.tick());
      },
      Math.max(0, next - this.#options.clock.now()),
    ).unref();
  }
}

function nameOf(piece: number, peer: string): string {
  return `${piece} ${peer}`;
}

function begin({ underWay }: Bringing, piece: number, peer: string): AbortController {
  const abort = new AbortController();
  underWay.set(nameOf(piece, peer), abort);
  return abort;
}

function end({ underWay }: Bringing, piece: number, peer: string, abort: AbortController): void {
  const name = nameOf(piece, peer);
  if (underWay.get(name) === abort) underWay.delete(name);
}
