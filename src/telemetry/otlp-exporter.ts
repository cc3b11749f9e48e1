import type { Logger } from './log.ts';

/** A stretch of work that has ended. */
export interface Span {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
  readonly parentId?: string;
  /** What the caller's tracing systems said, for their own. */
  readonly state?: string;
  readonly name: string;
  /** `server`: the answer to somebody's request; `client`: what somebody was asked. `internal` by default. */
  readonly kind?: 'internal' | 'server' | 'client';
  /** Spans that have to do with it and are not above it, of other traces perhaps. */
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
  /** Milliseconds since the epoch. */
  readonly start: number;
  readonly end: number;
  readonly attributes: Readonly<Record<string, string | number>>;
  /** Why it failed, if it did. */
  readonly error?: string;
}

export interface ExporterOptions {
  /** `http://collector:4318`, or with a path of its own. */
  readonly endpoint: string;
  /** What the spans are from, `service.name` and the like: asked for when some are sent. */
  readonly resource: () => Readonly<Record<string, string>>;
  readonly log: Logger;
}

/** Spans that wait at most; what comes on top is dropped: tracing must never cost the node anything. */
const mostWaiting = 4096;
const flushEveryMs = 2_000;
const answerBoundMs = 5_000;
/** Milliseconds that the end may take. */
const farewellMs = 2_000;

/**
 * Sends spans by OTLP/HTTP in JSON. The format is one object of an open specification: the OpenTelemetry
 * SDK would bring a dozen packages into a process that runs on every node.
 */
export class OtlpExporter {
  readonly #url: string;
  readonly #options: ExporterOptions;
  readonly #hurry = new AbortController();
  #waiting: Span[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #warned = false;

  constructor(options: ExporterOptions) {
    this.#options = options;
    const url = new URL(options.endpoint);
    if (url.pathname === '/') url.pathname = '/v1/traces';
    this.#url = url.href;
  }

  export(spans: readonly Span[]): void {
    this.#waiting.push(...spans.slice(0, mostWaiting - this.#waiting.length));
    this.#arm();
  }

  /** Sends what waits, as far as the collector takes it within two seconds. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    const late = setTimeout(() => this.#hurry.abort(), farewellMs);
    await this.#sending;
    clearTimeout(this.#timer);
    await this.#send();
    clearTimeout(late);
  }

  /** One request at a time: a collector that hangs must not gather them. */
  #arm(): void {
    if (this.#timer !== undefined || this.#sending !== undefined || this.#waiting.length === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#sending = this.#send().finally(() => {
        this.#sending = undefined;
        this.#arm();
      });
    }, flushEveryMs).unref();
  }

  /** Never rejects. */
  async #send(): Promise<void> {
    const spans = this.#waiting;
    this.#waiting = [];
    if (spans.length === 0) return;
    try {
      const answer = await fetch(this.#url, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(otlp(spans, this.#options.resource())),
        signal: AbortSignal.any([AbortSignal.timeout(answerBoundMs), this.#hurry.signal]),
        redirect: 'error',
      });
      await answer.body?.cancel();
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      this.#warned = false;
    } catch (error) {
      if (this.#warned) return;
      this.#warned = true;
      this.#options.log.warn(
        { err: error, lost: spans.length },
        'traces could not be sent (telemetry.traces.endpoint)',
      );
    }
  }
}

/** ExportTraceServiceRequest of opentelemetry-proto, in its JSON form: ids in hex, 64-bit numbers as text. */
function otlp(spans: readonly Span[], resource: Readonly<Record<string, string>>): object {
  return {
    resourceSpans: [
      {
        resource: { attributes: attributesOf(resource) },
        scopeSpans: [{ scope: { name: 'shoal' }, spans: spans.map(spanOf) }],
      },
    ],
  };
}

/** SPAN_KIND_INTERNAL, SPAN_KIND_SERVER and STATUS_CODE_ERROR of opentelemetry-proto, trace.proto. */
const kinds = { internal: 1, server: 2, client: 3 } as const;
const errorCode = 2;

function spanOf(span: Span): object {
  const { traceId, spanId, parentId, state, name, kind = 'internal', start, end, attributes, links, error } = span;
  return {
    traceId,
    spanId,
    ...(parentId !== undefined && { parentSpanId: parentId }),
    ...(state !== undefined && { traceState: state }),
    name,
    kind: kinds[kind],
    startTimeUnixNano: nanoseconds(start),
    endTimeUnixNano: nanoseconds(end),
    attributes: attributesOf(attributes),
    ...(links !== undefined && { links }),
    ...(error !== undefined && { status: { code: errorCode, message: error } }),
  };
}

function nanoseconds(milliseconds: number): string {
  return String(BigInt(Math.round(milliseconds * 1000)) * 1000n);
}

function attributesOf(attributes: Readonly<Record<string, string | number>>): object[] {
  return Object.entries(attributes).map(([key, value]) => ({
    key,
    value: typeof value === 'string' ? { stringValue: value } : { intValue: String(Math.round(value)) },
  }));
}
