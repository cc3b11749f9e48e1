import { Distribution, type DistributionSnapshot } from '../telemetry/distribution.ts';
import type { TraceScope } from '../telemetry/trace-scope.ts';
import {
  type BytesBySource,
  noBytes,
  type ObservedPiece,
  type ObservedPull,
  type PullObserver,
  type PullOutcome,
  type PullTrace,
} from './observer.ts';
import { type PullDetail, PullRecord, type PullRecordOptions, type PullView } from './pull-record.ts';
import { ruleKind } from './rule-kind.ts';
import { Senders, type SenderView } from './senders.ts';

/** Sums since the engine's start. */
export interface PullTotals {
  /** Pulls under way. */
  readonly active: number;
  readonly bytes: BytesBySource;
  /** Bytes from other nodes by their zone; the zone is empty where it is not known. */
  readonly zones: readonly { readonly zone: string; readonly peer: number; readonly mirror: number }[];
  /** Bytes that runtimes got. */
  readonly delivered: number;
  /** Pulls that have ended, by the kind of the rule that let them in. */
  readonly ended: readonly { readonly rule: string; readonly result: PullOutcome['result']; readonly count: number }[];
  /** Pulls that the runtime had to repeat without Shoal, by the kind of what went wrong; `unknown` when nothing is known. */
  readonly fallBacks: Readonly<Record<string, number>>;
  /** Downloads of a blob whose SHA-256 was wrong. */
  readonly mismatches: number;
  /** Seconds from a pull's begin to the first byte that went to the runtime. */
  readonly firstByte: DistributionSnapshot;
}

export interface HistoryOptions {
  /** The store's block in bytes. */
  readonly blockBytes: number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Milliseconds since the epoch. */
  readonly wall: () => number;
  /** Gets every pull that has ended, and its place in a trace. */
  readonly onEnd?: (pull: PullDetail, scope: TraceScope | undefined) => void;
  /** Whether a pull is recorded, and where it stands in its trace; none is without it. */
  readonly scopeOf?: (traceparent: string | undefined, tracestate: string | undefined) => TraceScope | undefined;
}

/** Ended pulls that are remembered, and their layers together: some MB at most. */
const mostPulls = 200;
const mostWeight = 4096;
/** Labels must not grow without end. */
const mostZones = 64;
const mostRules = 16;
const mostSenders = 4096;

/** A pull that an earlier engine had let in, and did not live to tell of. */
export interface LostPull {
  readonly pull: ObservedPull;
  readonly tracestate?: string;
  /** Milliseconds since the epoch. */
  readonly began: number;
  readonly elapsedMs: number;
  readonly outcome: PullOutcome;
  /** The runtime's pull had failed, and was made again without Shoal. */
  readonly repeated: boolean;
  /** What became of the engine. */
  readonly cause: string;
}

/** From a cache hit to a large image through a slow registry. Seconds. */
const firstByteBounds = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** The recent pulls and the sums of all of them. */
export class PullHistory implements PullObserver {
  readonly direct: PullTrace;
  readonly #options: HistoryOptions;
  readonly #active = new Map<string, PullRecord>();
  /** Oldest first. */
  readonly #ended = new Map<string, PullRecord>();
  #weight = 0;
  #opened = 0;
  readonly #bytes = noBytes();
  readonly #zones = new Map<string, { peer: number; mirror: number }>();
  readonly #results = new Map<string, Record<PullOutcome['result'], number>>();
  readonly #fallBacks = new Map<string, number>();
  readonly #senders = new Senders(mostSenders);
  readonly #firstByte = new Distribution(firstByteBounds);
  #delivered = 0;
  #mismatches = 0;

  constructor(options: HistoryOptions) {
    this.#options = options;
    this.direct = {
      manifest: () => undefined,
      requested: () => undefined,
      piece: (piece) => this.#count(piece),
      delivered: (_digest, bytes) => {
        this.#delivered += bytes;
      },
      failed: () => undefined,
      fellBack: () => undefined,
      ended: () => undefined,
    };
  }

  opened(pull: ObservedPull, tracestate?: string): PullTrace {
    const { now, wall } = this.#options;
    const record = this.#record(pull, tracestate, { now, began: wall() });
    this.#active.set(record.id, record);
    return {
      scope: record.scope,
      manifest: (layers) => record.manifest(layers),
      requested: (digest, size) => record.requested(digest, size),
      piece: (piece) => {
        this.#count(piece);
        record.piece(piece);
      },
      delivered: (digest, bytes) => {
        this.#delivered += bytes;
        record.delivered(digest, bytes);
      },
      failed: (error) => record.failed(error),
      fellBack: () => {
        record.fellBack();
        const kind = record.lastKind ?? 'unknown';
        this.#fallBacks.set(kind, (this.#fallBacks.get(kind) ?? 0) + 1);
      },
      ended: (outcome) => record.ended(outcome),
    };
  }

  /** Remembers it among its own, with what is known of it. That it fell back, the supervisor has counted. */
  lost({ pull, tracestate, began, elapsedMs, outcome, repeated, cause }: LostPull): void {
    let at = 0;
    const record = this.#record(pull, tracestate, { now: () => at, began });
    at = elapsedMs;
    record.lost(cause);
    if (repeated) record.fellBack();
    record.ended(outcome);
  }

  mismatched(): void {
    this.#mismatches += 1;
  }

  /** Pulls under way and ended ones, the newest first. */
  list(): PullView[] {
    const records = [...this.#ended.values(), ...this.#active.values()];
    return records.sort((a, b) => Number(b.id) - Number(a.id)).map((record) => record.view());
  }

  get(id: string): PullDetail | undefined {
    return (this.#active.get(id) ?? this.#ended.get(id))?.detail();
  }

  totals(): PullTotals {
    return {
      active: this.#active.size,
      bytes: { ...this.#bytes },
      zones: [...this.#zones].map(([zone, bytes]) => ({ zone, ...bytes })),
      delivered: this.#delivered,
      ended: [...this.#results].flatMap(([rule, counts]) =>
        Object.entries(counts).map(([result, count]) => ({ rule, result: result as PullOutcome['result'], count })),
      ),
      fallBacks: Object.fromEntries(this.#fallBacks),
      mismatches: this.#mismatches,
      firstByte: this.#firstByte.snapshot(),
    };
  }

  /** Who has given bytes to this node since the engine's start. */
  senders(): SenderView[] {
    return this.#senders.view();
  }

  #record(
    pull: ObservedPull,
    tracestate: string | undefined,
    clock: Pick<PullRecordOptions, 'now' | 'began'>,
  ): PullRecord {
    const { blockBytes, scopeOf } = this.#options;
    this.#opened += 1;
    return new PullRecord({
      id: String(this.#opened),
      pull,
      blockBytes,
      ...clock,
      scope: scopeOf?.(pull.traceparent, tracestate),
      onEnd: (ended) => this.#archive(ended, pull.rule),
    });
  }

  #count(piece: ObservedPiece): void {
    const { source, bytes } = piece;
    this.#bytes[source] += bytes;
    this.#senders.add(piece);
    if (source === 'peer' || source === 'mirror') this.#zone(piece.zone ?? '')[source] += bytes;
  }

  #zone(zone: string): { peer: number; mirror: number } {
    const name = bounded(zone, this.#zones, mostZones);
    const sums = this.#zones.get(name) ?? { peer: 0, mirror: 0 };
    this.#zones.set(name, sums);
    return sums;
  }

  #archive(record: PullRecord, rule: string): void {
    this.#active.delete(record.id);
    const kind = bounded(ruleKind(rule), this.#results, mostRules);
    const counts = this.#results.get(kind) ?? { ok: 0, failed: 0, cancelled: 0 };
    if (record.state !== 'pulling') counts[record.state] += 1;
    this.#results.set(kind, counts);
    if (record.firstByteMs !== undefined) this.#firstByte.observe(record.firstByteMs / 1000);
    this.#options.onEnd?.(record.detail(), record.scope);
    this.#ended.set(record.id, record);
    this.#weight += record.weight;
    for (const [id, oldest] of this.#ended) {
      if (this.#ended.size <= mostPulls && this.#weight <= mostWeight) break;
      this.#ended.delete(id);
      this.#weight -= oldest.weight;
    }
  }
}

/** The name, or `other` when there are enough names already. */
function bounded(name: string, known: ReadonlyMap<string, unknown>, most: number): string {
  return known.has(name) || known.size < most ? name : 'other';
}
