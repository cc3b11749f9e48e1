import { expect, test } from 'vitest';
import { swarmMetrics } from '../../../src/agent/metrics/swarm-metrics.ts';
import { MetricPage } from '../../../src/telemetry/metric-page.ts';
import { parseMetrics } from '../../harness/metrics.ts';

test.each(['gauge', 'counter'] as const)('a %s without a value is not written: 0 would be one', async (type) => {
  const page = new MetricPage<{ readonly value?: number }>([
    { name: 'shoal_test', help: 'A test.', type, read: ({ value }) => (value === undefined ? [] : [[value]]) },
  ]);
  const samples = async (view: { readonly value?: number }) => parseMetrics(await page.render(view)).samples;
  expect(await samples({})).toEqual([]);
  expect(await samples({ value: 7 })).toMatchObject([{ name: 'shoal_test', value: 7 }]);
  expect(await samples({})).toEqual([]);
});

test('a node without TLS tells of no certificate, so no alert can find that it has ended', async () => {
  const end = swarmMetrics.filter(({ name }) => name === 'shoal_certificate_end_timestamp_seconds');
  const view = {} as Parameters<(typeof end)[number]['read']>[0];
  expect(parseMetrics(await new MetricPage(end).render(view)).samples).toEqual([]);
});
