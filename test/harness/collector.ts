import { once } from 'node:events';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import type { Scope } from './scope.ts';
import { waitFor } from './wait.ts';

/** A span as OTLP/HTTP carries it in JSON. */
export interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly traceState?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly Attribute[];
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly status?: { readonly code: number; readonly message: string };
  /** `host.name` of the resource that it came with. */
  readonly node: string;
}

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: string };
}

interface TraceRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly Omit<OtlpSpan, 'node'>[] }[];
  }[];
}

export interface Collector {
  readonly url: string;
  readonly spans: OtlpSpan[];
  /** Method, path and type of every request. */
  readonly requests: string[];
  /** Resolves with the first span of the kind that is looked for. */
  span(matches: (span: OtlpSpan) => boolean, what: string): Promise<OtlpSpan>;
}

/** A collector that speaks OTLP/HTTP and keeps the spans. `hang`: it never answers. */
export async function startCollector(
  scope: Scope,
  options: { status?: number; hang?: boolean } = {},
): Promise<Collector> {
  const spans: OtlpSpan[] = [];
  const requests: string[] = [];
  const server = createServer(async (request, response) => {
    requests.push(`${request.method} ${request.url} ${request.headers['content-type']}`);
    const { resourceSpans } = (await json(request)) as TraceRequest;
    for (const { resource, scopeSpans } of resourceSpans) {
      const node = textOf(resource.attributes, 'host.name');
      for (const { spans: own } of scopeSpans) spans.push(...own.map((span) => ({ ...span, node })));
    }
    if (!options.hang) response.writeHead(options.status ?? 200, { 'Content-Type': 'application/json' }).end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the collector has no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    spans,
    requests,
    span: (matches, what) => waitFor(() => spans.find(matches), { what: `a span: ${what}` }),
  };
}

/** An attribute's value as text; empty where there is none. */
export function attribute({ attributes }: Pick<OtlpSpan, 'attributes'>, key: string): string {
  return textOf(attributes, key);
}

function textOf(attributes: readonly Attribute[], key: string): string {
  const value = attributes.find((each) => each.key === key)?.value;
  return value?.stringValue ?? value?.intValue ?? '';
}
