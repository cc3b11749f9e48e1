import { once } from 'node:events';
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { spansOf } from '../../src/agent/pull-spans.ts';
import { PullHistory } from '../../src/pull/history.ts';
import { OtlpExporter } from '../../src/telemetry/otlp-exporter.ts';
import { keptLog } from '../harness/log-lines.ts';
import { Scope } from '../harness/scope.ts';

interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, string>> }[];
  readonly status?: { readonly code: number; readonly message: string };
}

const began = Date.UTC(2026, 0, 2);
const caller = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7' };
const layer = { digest: 'sha256:a', size: 1000 };

let scope: Scope;
beforeEach(() => {
  scope = new Scope();
});
afterEach(() => scope.close());

/** A collector that speaks OTLP/HTTP and keeps the spans. */
async function collector(status = 200): Promise<{ url: string; spans: OtlpSpan[]; paths: string[] }> {
  const spans: OtlpSpan[] = [];
  const paths: string[] = [];
  const server = createServer(async (request, response) => {
    const body = (await json(request)) as {
      resourceSpans: { scopeSpans: { spans: OtlpSpan[] }[] }[];
    };
    paths.push(`${request.method} ${request.url} ${request.headers['content-type']}`);
    for (const { scopeSpans } of body.resourceSpans) for (const { spans: own } of scopeSpans) spans.push(...own);
    response.writeHead(status, { 'Content-Type': 'application/json' }).end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the collector has no port');
  return { url: `http://127.0.0.1:${address.port}`, spans, paths };
}

/** A pull of 300 ms, traced with what the kubelet sent. */
function pull(exporter: OtlpExporter, traceparent?: string, ok = true): void {
  let now = 0;
  const history = new PullHistory({
    blockBytes: 262_144,
    now: () => now,
    wall: () => began,
    onEnd: (ended) => exporter.export(spansOf(ended)),
  });
  const trace = history.opened({
    image: 'reg.test/app:v1',
    rule: 'r',
    ...(traceparent !== undefined && { traceparent }),
  });
  now = 50;
  trace.manifest([layer]);
  now = 100;
  trace.requested(layer.digest, layer.size);
  now = 200;
  trace.piece({ digest: layer.digest, index: 0, bytes: layer.size, source: 'peer', from: 'node-2' });
  trace.delivered(layer.digest, layer.size);
  now = 300;
  trace.ended(ok ? { result: 'ok' } : { result: 'failed', error: 'no space left' });
}

const attribute = (span: OtlpSpan | undefined, key: string) => span?.attributes.find((each) => each.key === key)?.value;

describe('a pull that is traced', () => {
  test('arrives at the collector as spans below the kubelet’s', async () => {
    const { url, spans, paths } = await collector();
    const exporter = new OtlpExporter({ endpoint: url, resource: { 'service.name': 'shoal' }, log: keptLog().log });
    pull(exporter, `00-${caller.traceId}-${caller.spanId}-01`);
    await exporter.close();
    expect(paths).toEqual(['POST /v1/traces application/json']);
    const [root, manifest, blob] = spans;
    expect(spans.map(({ name }) => name)).toEqual(['pull', 'manifest', 'layer']);
    expect(spans.every(({ traceId }) => traceId === caller.traceId)).toBe(true);
    expect(root?.parentSpanId).toBe(caller.spanId);
    expect([manifest?.parentSpanId, blob?.parentSpanId]).toEqual([root?.spanId, root?.spanId]);
    expect(root?.startTimeUnixNano).toBe(`${began}000000`);
    expect(BigInt(root?.endTimeUnixNano ?? 0) - BigInt(root?.startTimeUnixNano ?? 0)).toBe(300_000_000n);
    expect(BigInt(blob?.startTimeUnixNano ?? 0) - BigInt(root?.startTimeUnixNano ?? 0)).toBe(100_000_000n);
    expect(attribute(blob, 'shoal.bytes.peer')).toEqual({ intValue: '1000' });
    expect(attribute(root, 'container.image.name')).toEqual({ stringValue: 'reg.test/app:v1' });
  });

  test('begins a trace of its own when the kubelet sent none, and says what failed', async () => {
    const { url, spans } = await collector();
    const exporter = new OtlpExporter({ endpoint: `${url}/own/path`, resource: {}, log: keptLog().log });
    pull(exporter, undefined, false);
    await exporter.close();
    expect(spans[0]?.parentSpanId).toBeUndefined();
    expect(spans[0]?.traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(spans[0]?.status).toEqual({ code: 2, message: 'no space left' });
  });

  test('is left out when the kubelet does not record its trace', async () => {
    const { url, paths } = await collector();
    const exporter = new OtlpExporter({ endpoint: url, resource: {}, log: keptLog().log });
    pull(exporter, `00-${caller.traceId}-${caller.spanId}-00`);
    await exporter.close();
    expect(paths).toEqual([]);
  });

  test('costs a warning, once, when the collector fails', async () => {
    const { url } = await collector(503);
    const kept = keptLog();
    const exporter = new OtlpExporter({ endpoint: url, resource: {}, log: kept.log });
    pull(exporter);
    await exporter.close();
    pull(exporter);
    await exporter.close();
    expect(kept.lines.filter(({ msg }) => msg.startsWith('traces could not be sent'))).toHaveLength(1);
  });
});
