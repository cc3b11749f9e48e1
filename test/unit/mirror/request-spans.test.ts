import type { IncomingMessage } from 'node:http';
import { beforeEach, expect, test } from 'vitest';
import { RequestSpans } from '../../../src/mirror/request-spans.ts';
import type { Span } from '../../../src/telemetry/otlp-exporter.ts';
import { TraceScope } from '../../../src/telemetry/trace-scope.ts';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentId = '00f067aa0ba902b7';
const traceparent = `00-${traceId}-${parentId}-01`;
const runtime = { registry: 'reg.test', repository: 'app', runtime: true, accept: [] };
const asked = { kind: 'blob', reference: 'sha256:a' } as const;
const request = (headers: Record<string, string> = {}) => ({ method: 'GET', headers }) as unknown as IncomingMessage;

let now: number;
let exported: Span[];
let spans: RequestSpans;
beforeEach(() => {
  now = 5_000;
  exported = [];
  spans = new RequestSpans({ export: (some) => exported.push(...some), now: () => now, monotonic: () => now });
});

test('a request stands below the pull that it rides on', () => {
  const scope = new TraceScope();
  const end = spans.begin(request(), runtime, asked, scope);
  now += 40;
  end?.({ kind: 'blob', result: '206' });
  expect(exported).toEqual([
    {
      traceId: scope.traceId,
      parentId: scope.spanId,
      spanId: expect.stringMatching(/^[0-9a-f]{16}$/),
      name: 'mirror blob',
      kind: 'server',
      start: 5_000,
      end: 5_040,
      attributes: {
        'http.request.method': 'GET',
        'container.image.name': 'reg.test/app',
        'oci.reference': 'sha256:a',
        'shoal.result': '206',
      },
    },
  ]);
});

test("the runtime's own span comes first, with a link to a pull of another trace", () => {
  const scope = new TraceScope();
  const inTrace = new TraceScope({ traceId, parentId: '1111111111111111' });
  for (const each of [scope, inTrace]) {
    spans.begin(request({ traceparent, tracestate: 'a=1' }), runtime, asked, each)?.({ kind: 'blob', result: '200' });
  }
  expect(exported).toMatchObject([
    { traceId, parentId, state: 'a=1', links: [{ traceId: scope.traceId, spanId: scope.spanId }] },
    { traceId, parentId },
  ]);
  expect(exported[1]).not.toHaveProperty('links');
});

test.each(['cut', '503', 'left'])('a request that ends with %s has failed', (result) => {
  spans.begin(request(), runtime, asked, new TraceScope())?.({ kind: 'blob', result });
  expect(exported).toMatchObject([{ error: result }]);
});

test('a header that is not valid counts as none', () => {
  const scope = new TraceScope();
  spans.begin(request({ traceparent: 'nonsense' }), runtime, asked, scope)?.({ kind: 'blob', result: '200' });
  expect(exported).toMatchObject([{ traceId: scope.traceId, parentId: scope.spanId }]);
});

test('nothing is recorded of what the runtime does not record, and for whom nobody does', () => {
  const unsampled = request({ traceparent: traceparent.replace(/01$/, '00') });
  expect(spans.begin(unsampled, runtime, asked, new TraceScope())).toBeUndefined();
  expect(spans.begin(request(), runtime, asked, undefined)).toBeUndefined();
});

test('who has not the secret is not believed', () => {
  const stranger = { ...runtime, runtime: false };
  expect(spans.begin(request({ traceparent }), stranger, asked, undefined)).toBeUndefined();
});

test('a flood of requests leaves a bounded number of spans', () => {
  for (let at = 0; at < 10_000; at += 1) {
    spans.begin(request({ traceparent }), runtime, asked, undefined)?.({ kind: 'blob', result: '200' });
  }
  expect(exported).toHaveLength(512);
});
