import type { Logger } from './log.ts';

/** A stretch of work that has ended. */
export interface Span {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
  readonly parentId?: string;
  readonly name: string;
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
  /** What the spans are from: `service.name` and the like. */
  readonly resource: Readonly<Record<string, string>>;
  readonly log: Logger;
}

/** Spans that wait at most; what comes on top is dropped: tracing must never cost the node anything. */
const mostWaiting = 4096;
const flushEveryMs = 2_000;
const answerBoundMs = 5_000;

/**
 * Sends spans by OTLP/HTTP in JSON. The format is one object of an open specification, and Shoal has one kind of span: the
 * OpenTelemetry SDK would bring a dozen packages into a process that runs on every node.
 */
export class OtlpExporter {
  readonly #url: string;
  readonly #options: ExporterOptions;
  #waiting: Span[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> = Promise.resolve();
  #warned = false;

  constructor(options: ExporterOptions) {
    this.#options = options;
    const url = new URL(options.endpoint);
    if (url.pathname === '/') url.pathname = '/v1/traces';
    this.#url = url.href;
  }

  export(spans: readonly Span[]): void {
    this.#waiting.push(...spans.slice(0, mostWaiting - this.#waiting.length));
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#flush();
    }, flushEveryMs).unref();
  }

  /** Sends what waits. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#flush();
    await this.#sending;
  }

  /** One request after the other. */
  #flush(): void {
    this.#sending = this.#sending.then(() => this.#send());
  }

  async #send(): Promise<void> {
    const spans = this.#waiting;
    this.#waiting = [];
    if (spans.length === 0) return;
    try {
      const answer = await fetch(this.#url, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(otlp(spans, this.#options.resource)),
        signal: AbortSignal.timeout(answerBoundMs),
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

/** SPAN_KIND_INTERNAL and STATUS_CODE_ERROR of opentelemetry-proto, trace.proto. */
const internalKind = 1;
const errorCode = 2;

function spanOf({ traceId, spanId, parentId, name, start, end, attributes, error }: Span): object {
  return {
    traceId,
    spanId,
    ...(parentId !== undefined && { parentSpanId: parentId }),
    name,
    kind: internalKind,
    startTimeUnixNano: nanoseconds(start),
    endTimeUnixNano: nanoseconds(end),
    attributes: attributesOf(attributes),
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
