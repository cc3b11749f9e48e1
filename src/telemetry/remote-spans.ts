import { randomBytes } from 'node:crypto';
import { TokenBucket } from '../token-bucket.ts';
import type { Span } from './otlp-exporter.ts';
import type { TraceContext } from './trace-context.ts';

/** One of many small things that are done for somebody else's trace. */
export interface RemoteWork {
  /** How it ended, and bytes that were sent. Called once. */
  done(outcome: string, bytes?: number): void;
}

export interface RemoteSpansOptions {
  readonly export: (spans: readonly Span[]) => void;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Milliseconds, never going back. */
  readonly monotonic: () => number;
}

/** What is counted. */
export type RemoteUnit = 'pieces' | 'tunnels';

/** What is done of one kind for one span of another node. */
interface Sum {
  readonly unit: RemoteUnit;
  readonly span: Pick<Span, 'traceId' | 'parentId' | 'name' | 'start' | 'attributes' | 'state'>;
  readonly outcomes: Map<string, number>;
  end: number;
  open: number;
  count: number;
  bytes: number;
  longestMs: number;
}

interface SumOptions {
  readonly name: string;
  readonly context: TraceContext;
  readonly attributes: Span['attributes'];
  readonly unit: RemoteUnit;
  readonly now: number;
}

/** Sums that are open at once; and how many begin, whoever asks: a node that asks for thousands gets no more than that. */
const mostOpen = 256;
const pace = { rate: 50, burst: 256 };
/** Milliseconds after which a sum is closed: without anything new, and in all. */
const quietMs = 2_000;
const longestMs = 30_000;
const lookEveryMs = 1_000;
const mostOutcomes = 8;

/**
 * What this node does for the traces of others. Pieces are asked for by the thousand: all that is done for one span of the asker
 * becomes one span here, once it has been quiet for a while.
 */
export class RemoteSpans {
  readonly #options: RemoteSpansOptions;
  readonly #sums = new Map<string, Sum>();
  readonly #bucket: TokenBucket;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RemoteSpansOptions) {
    this.#options = options;
    this.#bucket = new TokenBucket({ ...pace, now: options.monotonic });
  }

  /** Undefined where it is not recorded: the asker doesn't either, or there is too much of it. */
  begin(
    name: string,
    context: TraceContext,
    attributes: Span['attributes'],
    unit: RemoteUnit = 'pieces',
  ): RemoteWork | undefined {
    if (!context.sampled) return undefined;
    const begun = this.#options.now();
    const sum = this.#sum({ name, context, attributes, unit, now: begun });
    if (sum === undefined) return undefined;
    sum.open += 1;
    return {
      done: (outcome, bytes = 0) => {
        sum.open -= 1;
        sum.end = this.#options.now();
        sum.count += 1;
        sum.bytes += bytes;
        sum.longestMs = Math.max(sum.longestMs, sum.end - begun);
        const counted = sum.outcomes.has(outcome) || sum.outcomes.size < mostOutcomes ? outcome : 'other';
        sum.outcomes.set(counted, (sum.outcomes.get(counted) ?? 0) + 1);
      },
    };
  }

  /** Hands over what there is. */
  close(): void {
    this.#look(() => true);
  }

  #sum({ name, context, attributes, unit, now }: SumOptions): Sum | undefined {
    const { traceId, parentId, state } = context;
    const key = JSON.stringify([traceId, parentId, name, attributes]);
    const known = this.#sums.get(key);
    if (known !== undefined) return known;
    if (this.#sums.size >= mostOpen || this.#bucket.wait(1) > 0) return undefined;
    this.#bucket.take(1);
    const span = { traceId, parentId, name, start: now, attributes, ...(state !== undefined && { state }) };
    const sum: Sum = { span, unit, outcomes: new Map(), end: now, open: 0, count: 0, bytes: 0, longestMs: 0 };
    this.#sums.set(key, sum);
    this.#timer ??= setInterval(() => {
      const at = this.#options.now();
      this.#look(({ open, end, span: { start } }) => (open === 0 && at - end >= quietMs) || at - start >= longestMs);
    }, lookEveryMs).unref();
    return sum;
  }

  #look(isOver: (sum: Sum) => boolean): void {
    const over = [...this.#sums].filter(([, sum]) => isOver(sum));
    for (const [key] of over) this.#sums.delete(key);
    const spans = over.filter(([, { count }]) => count > 0).map(([, sum]) => spanOf(sum));
    if (spans.length > 0) this.#options.export(spans);
    if (this.#sums.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

function spanOf({ span, unit, outcomes, end, count, bytes, longestMs: longest }: Sum): Span {
  const byOutcome = Object.fromEntries([...outcomes].map(([outcome, times]) => [`shoal.${unit}.${outcome}`, times]));
  return {
    ...span,
    spanId: randomBytes(8).toString('hex'),
    kind: 'server',
    end,
    attributes: {
      ...span.attributes,
      [`shoal.${unit}`]: count,
      ...byOutcome,
      ...(bytes > 0 && { 'shoal.bytes': bytes }),
      'shoal.longest_ms': longest,
    },
  };
}
