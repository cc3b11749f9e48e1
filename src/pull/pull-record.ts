import type { TraceScope } from '../telemetry/trace-scope.ts';
import { LayerRecord, type LayerView } from './layer-record.ts';
import { PieceLayout } from './layout.ts';
import {
  type BytesBySource,
  noBytes,
  type ObservedPiece,
  type ObservedPull,
  type PullOutcome,
  type PullTrace,
} from './observer.ts';
import { Senders, type SenderView } from './senders.ts';
import type { PullError } from './types.ts';

/** A pull in a list. Times are milliseconds since its begin; absent: has not happened. */
export interface PullView extends ObservedPull {
  /** Counts up from 1 with each pull of this engine. */
  readonly id: string;
  /** Of the trace that it is recorded in: 32 hex digits. */
  readonly traceId?: string;
  /** When it began, as ISO 8601. */
  readonly began: string;
  readonly state: 'pulling' | PullOutcome['result'];
  /** So long it took, or takes so far. */
  readonly elapsedMs: number;
  readonly manifestMs?: number;
  readonly firstByteMs?: number;
  /** Layers as the manifest tells, in bytes; 0 before it is there. */
  readonly layerBytes: number;
  /** Bytes that came for this pull. */
  readonly bytes: BytesBySource;
  /** Bytes that the runtime got. */
  readonly delivered: number;
  /** Other nodes that gave pieces. */
  readonly peers: number;
  /** The runtime pulled once more without Shoal. */
  readonly fellBack: boolean;
  /** What went wrong last, if anything did. */
  readonly cause?: string;
}

/** One pull in all detail. */
export interface PullDetail extends PullView {
  readonly layers: readonly LayerView[];
  /** Layers that are not in `layers`, because there are too many. */
  readonly layersLeftOut: number;
  readonly causes: readonly { readonly atMs: number; readonly kind: string; readonly text: string }[];
  /** Who gave pieces, the one with the most bytes first. */
  readonly senders: readonly SenderView[];
}

export interface PullRecordOptions {
  readonly id: string;
  readonly pull: ObservedPull;
  /** The store's block in bytes. */
  readonly blockBytes: number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Milliseconds since the epoch, at the begin. */
  readonly began: number;
  /** Its place in a trace that is recorded. */
  readonly scope?: TraceScope | undefined;
  /** Called once, at the end. */
  readonly onEnd: (record: PullRecord) => void;
}

/** Of the cause of a pull that was told by the engine after the one that had let it in. */
const engineKind = 'engine';

/** Whether its engine died under it: then next to nothing is known of it. */
export function isLost({ causes }: Pick<PullDetail, 'causes'>): boolean {
  return causes.some(({ kind }) => kind === engineKind);
}

/** A real image has at most 127 layers (overlayfs). */
const mostLayers = 128;
const mostCauses = 8;
const longestCause = 400;
const mostSenders = 256;

/** What is remembered of one pull: bounded, whatever the image and however many nodes gave pieces. */
export class PullRecord implements PullTrace {
  readonly id: string;
  readonly #options: PullRecordOptions;
  readonly #beganAt: number;
  readonly #layers = new Map<string, LayerRecord>();
  readonly #bytes = noBytes();
  readonly #senders = new Senders(mostSenders);
  readonly #causes: { atMs: number; kind: string; text: string }[] = [];
  #layersLeftOut = 0;
  #layerBytes = 0;
  #delivered = 0;
  #manifestMs: number | undefined;
  #firstByteMs: number | undefined;
  #endMs: number | undefined;
  #state: PullView['state'] = 'pulling';
  #fellBack = false;

  constructor(options: PullRecordOptions) {
    this.id = options.id;
    this.#options = options;
    this.#beganAt = options.now();
  }

  get scope(): TraceScope | undefined {
    return this.#options.scope;
  }

  /** How many layers it remembers: what it costs. */
  get weight(): number {
    return 1 + this.#layers.size;
  }

  get state(): PullView['state'] {
    return this.#state;
  }

  /** Milliseconds from the begin to the first byte that went to the runtime. */
  get firstByteMs(): number | undefined {
    return this.#firstByteMs;
  }

  get elapsedMs(): number {
    return this.#endMs ?? this.#now();
  }

  /** The kind of what went wrong last. */
  get lastKind(): string | undefined {
    return this.#causes.at(-1)?.kind;
  }

  manifest(layers: readonly { readonly digest: string; readonly size: number }[]): void {
    this.#manifestMs ??= this.#now();
    for (const { digest, size } of layers) {
      this.#layerBytes += size;
      this.#layer(digest, size);
    }
  }

  requested(digest: string, size: number): void {
    this.#layer(digest, size)?.requested(this.#now());
  }

  piece(piece: ObservedPiece): void {
    this.#bytes[piece.source] += piece.bytes;
    this.#senders.add(piece);
    this.#layers.get(piece.digest)?.piece(piece, this.#now());
  }

  delivered(digest: string, bytes: number): void {
    const at = this.#now();
    this.#firstByteMs ??= at;
    this.#delivered += bytes;
    this.#layers.get(digest)?.delivered(bytes, at);
  }

  failed({ kind, message }: PullError): void {
    this.#note(kind, message);
  }

  /** The engine that had let it in did not live to see its end. */
  lost(text: string): void {
    this.#note(engineKind, text);
  }

  fellBack(): void {
    this.#fellBack = true;
  }

  ended(outcome: PullOutcome): void {
    if (this.#state !== 'pulling') return;
    this.#endMs = this.#now();
    this.#state = outcome.result;
    if (outcome.result === 'failed') this.#note('runtime', outcome.error);
    this.#options.onEnd(this);
  }

  view(): PullView {
    const cause = this.#causes.at(-1)?.text;
    return {
      id: this.id,
      ...this.#options.pull,
      ...(this.scope && { traceId: this.scope.traceId }),
      began: new Date(this.#options.began).toISOString(),
      state: this.#state,
      elapsedMs: this.elapsedMs,
      ...(this.#manifestMs !== undefined && { manifestMs: this.#manifestMs }),
      ...(this.#firstByteMs !== undefined && { firstByteMs: this.#firstByteMs }),
      layerBytes: this.#layerBytes,
      bytes: { ...this.#bytes },
      delivered: this.#delivered,
      peers: this.#senders.peers,
      fellBack: this.#fellBack,
      ...(cause !== undefined && { cause }),
    };
  }

  detail(): PullDetail {
    return {
      ...this.view(),
      layers: [...this.#layers.values()].map((layer) => layer.view()),
      layersLeftOut: this.#layersLeftOut,
      causes: [...this.#causes],
      senders: this.#senders.view(),
    };
  }

  #note(kind: string, text: string): void {
    if (this.#causes.length === mostCauses) this.#causes.shift();
    this.#causes.push({ atMs: this.#now(), kind, text: text.slice(0, longestCause) });
  }

  /** Tenths of a millisecond are enough, and short in JSON. */
  #now(): number {
    return Math.round((this.#options.now() - this.#beganAt) * 10) / 10;
  }

  #layer(digest: string, size: number): LayerRecord | undefined {
    const known = this.#layers.get(digest);
    if (known !== undefined) return known;
    if (this.#layers.size >= mostLayers) {
      this.#layersLeftOut += 1;
      return undefined;
    }
    const layer = new LayerRecord(digest, size, new PieceLayout(size, this.#options.blockBytes).count);
    this.#layers.set(digest, layer);
    return layer;
  }
}
