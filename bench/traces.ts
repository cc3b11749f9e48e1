import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { spansOf } from '../src/agent/pull-spans.ts';
import { scopeOf } from '../src/agent/traces.ts';
import { PullHistory } from '../src/pull/history.ts';
import { createSource, traceOf } from '../src/pull/source.ts';
import type { Span } from '../src/telemetry/otlp-exporter.ts';
import { RemoteSpans } from '../src/telemetry/remote-spans.ts';
import { traceContextOf } from '../src/telemetry/trace-context.ts';
import { LocalSwarm } from '../test/harness/local-swarm.ts';
import type { Scope } from '../test/harness/scope.ts';
import { imageOf } from '../test/harness/scripted-client.ts';
import { main } from './harness/main.ts';
import { MiB, median } from './harness/stats.ts';

/**
 * What tracing costs. First whole pulls: a node gets an image from another one, both with their engine, cache and transfer in
 * this process, with every pull recorded and with tracing off, in turns; the CPU time of both nodes counts. Then what each
 * piece meets of tracing while it is off, by itself.
 */
const { values: flags } = parseArgs({
  options: {
    runs: { type: 'string', default: '15' },
    /** MiB, in four layers. */
    image: { type: 'string', default: '64' },
  },
});

const blockBytes = 256 * 1024;
const layers = 4;

interface Traced {
  readonly swarm: LocalSwarm;
  readonly exported: Span[];
}

async function startSwarm(scope: Scope, traced: boolean): Promise<Traced> {
  const exported: Span[] = [];
  const sink = {
    export: (spans: readonly Span[]) => void exported.push(...spans),
    now: Date.now,
    monotonic: () => performance.now(),
  };
  const observer = () =>
    new PullHistory({
      blockBytes,
      now: () => performance.now(),
      wall: Date.now,
      ...(traced && { scopeOf, onEnd: (pull, place) => place && sink.export(spansOf(pull, place)) }),
    });
  const memoryBytes = 3 * Number(flags.image) * MiB;
  const swarm = new LocalSwarm(scope, { observer, memoryBytes, ...(traced && { spans: new RemoteSpans(sink) }) });
  await swarm.start(2);
  return { swarm, exported };
}

/** CPU seconds of a pull that gets everything from the other node. */
async function pull({ swarm }: Traced, tag: string): Promise<number> {
  const bytes = (Number(flags.image) * MiB) / layers;
  const image = imageOf(Array.from({ length: layers }, () => randomBytes(bytes)));
  for (const { client } of swarm.nodes) client.add(tag, image);
  const [first, second] = swarm.nodes;
  await first?.pull(tag);
  const before = process.cpuUsage();
  await second?.pull(tag);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

/** Nanoseconds for each call. */
function nanoseconds(work: () => unknown): number {
  const calls = 2_000_000;
  let kept = 0;
  const run = (): number => {
    const before = process.hrtime.bigint();
    for (let at = 0; at < calls; at += 1) if (work() !== undefined) kept += 1;
    return Number(process.hrtime.bigint() - before) / calls;
  };
  run();
  const samples = [run(), run(), run(), run(), run()];
  if (kept > 0) throw new Error('what is off gave something');
  return median(samples);
}

/** What a piece meets on its way while nothing is traced: at who asks (twice), and at who sends. */
function offPath(): number {
  const untraced = new PullHistory({ blockBytes, now: () => 0, wall: () => 0 });
  const trace = untraced.opened({ image: 'reg.test/app:v1', rule: 'r' });
  const source = createSource({ registry: 'reg.test', repository: 'app' }, { kind: 'anonymous' }, trace);
  const digest = `sha256:${'a'.repeat(64)}`;
  const payers = new Set([source]);
  const destinations = new Map([
    [
      digest,
      {
        get trace() {
          const [payer] = payers;
          return payer && traceOf(payer, digest);
        },
      },
    ],
  ]);
  const options: { readonly spans?: RemoteSpans } = {};
  const headers = { traceparent: undefined, tracestate: undefined };
  const want = nanoseconds(() => destinations.get(digest)?.trace);
  const request = nanoseconds(() => destinations.get(digest)?.trace);
  const serve = nanoseconds(() => options.spans && traceContextOf(headers.traceparent, headers.tracestate));
  return want + request + serve;
}

await main('bench-traces', async (scope) => {
  const off = await startSwarm(scope, false);
  const on = await startSwarm(scope, true);
  const ratios: number[] = [];
  const cpu: number[] = [];
  for (let run = 0; run <= Number(flags.runs); run += 1) {
    const [first, second] = run % 2 === 0 ? [off, on] : [on, off];
    const used = new Map([
      [first, await pull(first, `v${run}`)],
      [second, await pull(second, `v${run}`)],
    ]);
    // The first one warms up.
    if (run === 0) continue;
    ratios.push((used.get(on) ?? 0) / (used.get(off) ?? 0));
    cpu.push(used.get(off) ?? 0);
  }
  const spans = on.exported.length / (2 * (Number(flags.runs) + 1));
  const pieceUs = (median(cpu) * 1e6) / ((Number(flags.image) * MiB) / blockBytes);
  const offNs = offPath();
  const share = (100 * offNs) / 1000 / pieceUs;
  console.log(
    `on: ${spans.toFixed(0)} spans a pull; ratios of the rounds ${ratios.map((r) => r.toFixed(2)).join(' ')}`,
  );
  return [
    `bench-traces: pull of ${flags.image} MiB from a peer: ${pieceUs.toFixed(0)} µs CPU a block of 256 KiB`,
    `off ${offNs.toFixed(0)} ns of it (${share.toFixed(3)} %), on ${median(ratios).toFixed(3)}x of off`,
  ].join('; ');
});
