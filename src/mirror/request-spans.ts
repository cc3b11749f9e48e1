import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Requester } from '../pull/types.ts';
import type { Span } from '../telemetry/otlp-exporter.ts';
import { traceContextOf } from '../telemetry/trace-context.ts';
import type { TraceScope } from '../telemetry/trace-scope.ts';
import { TokenBucket } from '../token-bucket.ts';
import type { Served } from './handler.ts';

export interface RequestSpansOptions {
  readonly export: (spans: readonly Span[]) => void;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Milliseconds, never going back. */
  readonly monotonic: () => number;
}

/** What a runtime asked for. */
export interface Asked {
  readonly kind: 'manifest' | 'blob';
  /** A tag or a digest. */
  readonly reference: string;
}

/** A pull asks for some dozen blobs; whoever asks for more than this is recorded in part. */
const pace = { rate: 50, burst: 512 };

/** Records the runtime's requests. */
export class RequestSpans {
  readonly #options: RequestSpansOptions;
  readonly #bucket: TokenBucket;

  constructor(options: RequestSpansOptions) {
    this.#options = options;
    this.#bucket = new TokenBucket({ ...pace, now: options.monotonic });
  }

  /**
   * Call the result with what became of the request. It stands below the runtime's own span, when it names one; else below the
   * pull that it rides on. Undefined where neither is recorded.
   */
  begin(
    { method = '', headers }: IncomingMessage,
    requester: Requester,
    asked: Asked,
    scope: TraceScope | undefined,
  ): ((served: Served) => void) | undefined {
    // Any process of the node may ask; only who has the runtime's secret, or rides on a pull, is believed about traces.
    const own = requester.runtime ? traceContextOf(headers.traceparent, headers.tracestate) : undefined;
    if (own?.sampled === false || (own === undefined && scope === undefined)) return undefined;
    const start = this.#options.now();
    if (this.#bucket.wait(1) > 0) return undefined;
    this.#bucket.take(1);
    const state = own === undefined ? scope?.state : own.state;
    const elsewhere = own && scope && own.traceId !== scope.traceId;
    const span = {
      traceId: own?.traceId ?? scope?.traceId ?? '',
      spanId: randomBytes(8).toString('hex'),
      parentId: own?.parentId ?? scope?.spanId ?? '',
      ...(state !== undefined && { state }),
      name: `mirror ${asked.kind}`,
      kind: 'server',
      start,
      ...(elsewhere && { links: [{ traceId: scope.traceId, spanId: scope.spanId }] }),
    } as const;
    const attributes = {
      'http.request.method': method,
      'container.image.name': `${requester.registry}/${requester.repository}`,
      'oci.reference': asked.reference,
    };
    return ({ result }) => {
      const end = this.#options.now();
      const failed = !/^[23]/.test(result);
      const told = { ...attributes, 'shoal.result': result };
      this.#options.export([{ ...span, end, attributes: told, ...(failed && { error: result }) }]);
    };
  }
}
