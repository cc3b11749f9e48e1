import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { spansOf } from '../../src/agent/pull-spans.ts';
import { scopeOf } from '../../src/agent/traces.ts';
import { PullHistory } from '../../src/pull/history.ts';
import { OtlpExporter } from '../../src/telemetry/otlp-exporter.ts';
import { attribute, startCollector } from '../harness/collector.ts';
import { keptLog } from '../harness/log-lines.ts';
import { Scope } from '../harness/scope.ts';

const began = Date.UTC(2026, 0, 2);
const caller = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7' };
const layer = { digest: 'sha256:a', size: 1000 };

let scope: Scope;
beforeEach(() => {
  scope = new Scope();
});
afterEach(() => scope.close());

/** A pull of 300 ms, traced with what the kubelet sent. */
function pull(exporter: OtlpExporter, traceparent?: string, ok = true): void {
  let now = 0;
  const history = new PullHistory({
    blockBytes: 262_144,
    now: () => now,
    wall: () => began,
    scopeOf,
    onEnd: (ended, scope) => {
      if (scope) exporter.export(spansOf(ended, scope));
    },
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
  trace.piece({ digest: layer.digest, index: 0, bytes: layer.size, source: 'peer', from: 'node-2', tookMs: 60 });
  trace.delivered(layer.digest, layer.size);
  now = 300;
  trace.ended(ok ? { result: 'ok' } : { result: 'failed', error: 'no space left' });
}

describe('a pull that is traced', () => {
  test('arrives at the collector as spans below the kubelet’s', async () => {
    const { url, spans, requests: paths } = await startCollector(scope);
    const exporter = new OtlpExporter({
      endpoint: url,
      resource: () => ({ 'service.name': 'shoal' }),
      log: keptLog().log,
    });
    pull(exporter, `00-${caller.traceId}-${caller.spanId}-01`);
    await exporter.close();
    expect(paths).toEqual(['POST /v1/traces application/json']);
    const [root, manifest, blob, fetched] = spans;
    expect(spans.map(({ name }) => name)).toEqual(['pull', 'manifest', 'layer', 'fetch']);
    expect(spans.every(({ traceId }) => traceId === caller.traceId)).toBe(true);
    expect(root?.parentSpanId).toBe(caller.spanId);
    expect([manifest?.parentSpanId, blob?.parentSpanId]).toEqual([root?.spanId, root?.spanId]);
    expect(root?.startTimeUnixNano).toBe(`${began}000000`);
    expect(BigInt(root?.endTimeUnixNano ?? 0) - BigInt(root?.startTimeUnixNano ?? 0)).toBe(300_000_000n);
    expect(BigInt(blob?.startTimeUnixNano ?? 0) - BigInt(root?.startTimeUnixNano ?? 0)).toBe(100_000_000n);
    expect([root?.kind, blob?.kind]).toEqual([2, 1]);
    expect(blob && attribute(blob, 'shoal.bytes.peer')).toBe('1000');
    expect(root && attribute(root, 'container.image.name')).toBe('reg.test/app:v1');
    // What one source gave, from the moment that it was asked.
    expect(fetched?.parentSpanId).toBe(blob?.spanId);
    expect(fetched && attribute(fetched, 'shoal.source')).toBe('peer');
    expect(BigInt(fetched?.startTimeUnixNano ?? 0) - BigInt(root?.startTimeUnixNano ?? 0)).toBe(140_000_000n);
  });

  test('begins a trace of its own when the kubelet sent none, and says what failed', async () => {
    const { url, spans } = await startCollector(scope);
    const exporter = new OtlpExporter({ endpoint: `${url}/own/path`, resource: () => ({}), log: keptLog().log });
    pull(exporter, undefined, false);
    await exporter.close();
    expect(spans[0]?.parentSpanId).toBeUndefined();
    expect(spans[0]?.traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(spans[0]?.status).toEqual({ code: 2, message: 'no space left' });
  });

  test('is left out when the kubelet does not record its trace', async () => {
    const { url, requests: paths } = await startCollector(scope);
    const exporter = new OtlpExporter({ endpoint: url, resource: () => ({}), log: keptLog().log });
    pull(exporter, `00-${caller.traceId}-${caller.spanId}-00`);
    await exporter.close();
    expect(paths).toEqual([]);
  });

  test('costs a warning, once, when the collector fails', async () => {
    const { url } = await startCollector(scope, { status: 503 });
    const kept = keptLog();
    const exporter = new OtlpExporter({ endpoint: url, resource: () => ({}), log: kept.log });
    pull(exporter);
    await exporter.close();
    pull(exporter);
    await exporter.close();
    expect(kept.lines.filter(({ msg }) => msg.startsWith('traces could not be sent'))).toHaveLength(1);
  });

  test('carries on what the caller’s tracing system said', async () => {
    const { url, spans } = await startCollector(scope);
    const exporter = new OtlpExporter({ endpoint: url, resource: () => ({}), log: keptLog().log });
    const history = new PullHistory({
      blockBytes: 262_144,
      now: () => 0,
      wall: () => began,
      scopeOf,
      onEnd: (ended, scope) => scope && exporter.export(spansOf(ended, scope)),
    });
    const traceparent = `00-${caller.traceId}-${caller.spanId}-01`;
    const trace = history.opened({ image: 'reg.test/app:v1', rule: 'r', traceparent }, 'vendor=opaque');
    trace.ended({ result: 'ok' });
    await exporter.close();
    expect(spans.map(({ traceState }) => traceState)).toEqual(['vendor=opaque']);
    expect(history.list()[0]?.traceId).toBe(caller.traceId);
  });

  test('ends within two seconds when the collector hangs, and gathers no requests', async () => {
    const { url, requests } = await startCollector(scope, { hang: true });
    const exporter = new OtlpExporter({ endpoint: url, resource: () => ({}), log: keptLog().log });
    pull(exporter);
    const began = performance.now();
    await exporter.close();
    expect(performance.now() - began).toBeLessThan(4_000);
    expect(requests).toHaveLength(1);
  });
});
