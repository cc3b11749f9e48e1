import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Span } from '../../../src/telemetry/otlp-exporter.ts';
import { RemoteSpans } from '../../../src/telemetry/remote-spans.ts';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentId = '00f067aa0ba902b7';
const context = { traceId, parentId, sampled: true, state: 'a=1' };
const layer = { 'oci.digest': 'sha256:a' };

let exported: Span[];
let spans: RemoteSpans;

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
  exported = [];
  spans = new RemoteSpans({
    export: (some) => exported.push(...some),
    now: Date.now,
    monotonic: () => performance.now(),
  });
});
afterEach(() => {
  vi.useRealTimers();
});

const id = (at: number, digits: number) => (at + 1).toString(16).padStart(digits, '0');

test('what is done for one span of the asker becomes one span, once it has been quiet', () => {
  for (let at = 0; at < 100; at += 1) {
    const work = spans.begin('serve', context, layer);
    vi.advanceTimersByTime(10);
    work?.done(at % 10 === 0 ? 'busy' : 'served', at % 10 === 0 ? 0 : 1000);
  }
  expect(exported).toEqual([]);
  vi.advanceTimersByTime(4_000);
  expect(exported).toEqual([
    {
      traceId,
      parentId,
      spanId: expect.stringMatching(/^[0-9a-f]{16}$/),
      state: 'a=1',
      name: 'serve',
      kind: 'server',
      start: 1_000_000,
      end: 1_001_000,
      attributes: {
        ...layer,
        'shoal.pieces': 100,
        'shoal.pieces.busy': 10,
        'shoal.pieces.served': 90,
        'shoal.bytes': 90_000,
        'shoal.longest_ms': 10,
      },
    },
  ]);
  expect(vi.getTimerCount()).toBe(0);
});

test('other askers, layers and kinds of work have spans of their own', () => {
  spans.begin('serve', context, layer)?.done('served', 1);
  spans.begin('serve', { ...context, parentId: id(0, 16) }, layer)?.done('served', 1);
  spans.begin('serve', context, { 'oci.digest': 'sha256:b' })?.done('served', 1);
  spans.begin('directory', context, layer)?.done('take');
  spans.close();
  expect(exported).toHaveLength(4);
});

test('what never pauses is told every half minute, and what hangs does not stay for ever', () => {
  spans.begin('serve', context, layer);
  for (let at = 0; at < 45; at += 1) {
    vi.advanceTimersByTime(1_000);
    spans.begin('serve', context, { 'oci.digest': 'sha256:b' })?.done('served', 1);
  }
  expect(exported).toHaveLength(1);
  expect(exported[0]?.attributes['shoal.pieces']).toBeGreaterThan(25);
  spans.close();
  // The one that hangs had nothing to tell.
  expect(exported).toHaveLength(2);
});

test('nothing is recorded for an asker that does not record', () => {
  expect(spans.begin('serve', { ...context, sampled: false }, layer)).toBeUndefined();
});

test('a flood of traces leaves a bounded number of spans', () => {
  const begin = (at: number) => spans.begin('serve', { ...context, traceId: id(at, 32) }, layer);
  for (let at = 0; at < 10_000; at += 1) begin(at)?.done('served', 1);
  spans.close();
  expect(exported).toHaveLength(256);
  vi.advanceTimersByTime(1_000);
  for (let at = 10_000; at < 20_000; at += 1) begin(at)?.done('served', 1);
  spans.close();
  // Fifty a second.
  expect(exported).toHaveLength(306);
});

test('the asker can not make a span large', () => {
  const work = Array.from({ length: 100 }, () => spans.begin('serve', context, layer));
  for (const [at, each] of work.entries()) each?.done(`outcome ${at}`);
  spans.close();
  expect(Object.keys(exported[0]?.attributes ?? {}).length).toBeLessThan(15);
});
