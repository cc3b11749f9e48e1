import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { acrMetrics } from '../../../src/agent/metrics/acr-metrics.ts';
import { cacheMetrics } from '../../../src/agent/metrics/cache-metrics.ts';
import { eventMetrics } from '../../../src/agent/metrics/event-metrics.ts';
import { nodeMetrics } from '../../../src/agent/metrics/node-metrics.ts';
import { pullMetrics } from '../../../src/agent/metrics/pull-metrics.ts';
import { swarmMetrics } from '../../../src/agent/metrics/swarm-metrics.ts';
import { packageRoot } from '../../../src/paths.ts';

/** Words of PromQL that are no metrics. */
const words = new Set(
  'and or unless by without on ignoring group_left group_right sum count avg max min topk rate increase histogram_quantile vector time bool'.split(
    ' ',
  ),
);
/** What Prometheus adds to every sample. */
const common = ['instance', 'job', 'le'];

const all = [...nodeMetrics, ...pullMetrics, ...cacheMetrics, ...swarmMetrics, ...acrMetrics, ...eventMetrics];

/** Labels by the names under which a metric's samples are asked for. */
const labelsOf = new Map<string, readonly string[]>(
  all.flatMap(({ name, type, labels = [] }) =>
    type === 'histogram'
      ? ['_bucket', '_sum', '_count'].map((suffix): [string, readonly string[]] => [`${name}${suffix}`, labels])
      : [[name, labels] as [string, readonly string[]]],
  ),
);

/** Every metric of an expression with the labels that it is asked for by, and the labels that are grouped by. */
function read(expression: string): { metrics: Map<string, string[]>; grouped: string[] } {
  const metrics = new Map<string, string[]>();
  const text = expression.replace(/"(?:[^"\\]|\\.)*"/g, '""');
  const grouped = [...text.matchAll(/\b(?:by|without)\s*\(([^)]*)\)/g)].flatMap(([, list = '']) =>
    list.split(/\s*,\s*/),
  );
  const bare = text.replace(/\b(?:by|without)\s*\([^)]*\)/g, '').replace(/\[[^\]]*\]/g, '');
  for (const [, name = '', matchers = ''] of bare.matchAll(/(?<![\w$.])([a-zA-Z_:][\w:]*)\s*(?:\{([^}]*)\})?/g)) {
    if (words.has(name)) continue;
    const labels = [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label);
    metrics.set(name, [...(metrics.get(name) ?? []), ...labels]);
  }
  return { metrics, grouped };
}

function check(expression: string): void {
  const { metrics, grouped } = read(expression);
  expect(metrics.size, expression).toBeGreaterThan(0);
  for (const [name, labels] of metrics) {
    const known = labelsOf.get(name);
    expect(known, `${name} in ${expression}`).toBeDefined();
    for (const label of labels) expect([...(known ?? []), ...common], `${label} in ${expression}`).toContain(label);
  }
  const labels = [...metrics.keys()].flatMap((name) => labelsOf.get(name) ?? []);
  for (const label of grouped) expect([...labels, ...common], `${label} in ${expression}`).toContain(label);
}

test("an expression with a metric or a label that there isn't is found", () => {
  check('sum by (source) (rate(shoal_pull_bytes_total{source="x",instance=~"$node"}[5m])) > 10e6');
  expect(() => check('shoal_pull_byte_total')).toThrow();
  expect(() => check('shoal_pull_bytes_total{sauce="x"}')).toThrow();
  expect(() => check('sum by (sauce) (shoal_pull_bytes_total)')).toThrow();
  expect(() => check('rate(shoal_pull_duration_seconds[5m])')).toThrow();
});

describe('the dashboards', async () => {
  const folder = path.join(packageRoot, 'deploy/dashboards');
  for (const file of await readdir(folder)) {
    const dashboard = JSON.parse(await readFile(path.join(folder, file), 'utf8'));
    const panels: { title: string; targets?: { expr: string }[] }[] = dashboard.panels;
    const targets = panels.flatMap(({ title, targets: own = [] }) => own.map(({ expr }) => [title, expr] as const));
    test(`${file} has panels`, () => expect(targets.length).toBeGreaterThan(20));
    test.each(targets)(`${file}: %s asks for what there is: %s`, (_title, expression) => check(expression));
  }
});

describe('the alerts', async () => {
  const { groups }: { groups: { rules: { alert: string; expr: string; annotations: Record<string, string> }[] }[] } =
    parse(await readFile(path.join(packageRoot, 'deploy/alerts/shoal.yaml'), 'utf8'));
  const rules = groups.flatMap((group) => group.rules);
  test.each(rules)('$alert asks for what there is', ({ expr }) => check(expr));

  test('each say what has happened and have a section in the docs', async () => {
    const operations = await readFile(path.join(packageRoot, 'docs/operations.md'), 'utf8');
    for (const { alert, annotations } of rules) {
      expect(annotations.summary, alert).toBeTruthy();
      expect(annotations.description, alert).toBeTruthy();
      expect(operations).toContain(`\`${alert}\``);
    }
  });
});

test('docs/operations.md answers its questions with panels and headings that there are', async () => {
  const read = (file: string) => readFile(path.join(packageRoot, file), 'utf8');
  const { panels }: { panels: { title: string }[] } = JSON.parse(await read('deploy/dashboards/shoal.json'));
  const headings = [...(await read('web/index.html')).matchAll(/<h2[^>]*>([^<]+)/g)].map(([, heading]) => heading);
  const rows = (await read('docs/operations.md')).split('\n').filter((line) => /^\| \d+ \| \[/.test(line));
  expect(rows).toHaveLength(10);
  const named = rows.flatMap((row) => [...row.matchAll(/\*([^*]+)\*/g)].map(([, name]) => name));
  expect(named.length).toBeGreaterThan(10);
  expect(named.filter((name) => ![...panels.map(({ title }) => title), ...headings].includes(name))).toEqual([]);
});

test('docs/operations.md lists every metric with its labels', async () => {
  const operations = await readFile(path.join(packageRoot, 'docs/operations.md'), 'utf8');
  const listed = [...operations.matchAll(/^\| `(shoal_\w+)(?:\{([\w,]+)\})?` \|/gm)].map(([, name, labels]) => [
    name,
    labels?.split(',') ?? [],
  ]);
  expect(listed).toEqual(all.map(({ name, labels = [] }) => [name, labels]));
});
