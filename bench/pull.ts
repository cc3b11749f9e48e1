import { parseArgs } from 'node:util';
import { type Agent, configureRuntime, startAgent } from '../test/harness/agent.ts';
import { type Containerd, startContainerd } from '../test/harness/containerd.ts';
import type { CriClient } from '../test/harness/cri-client.ts';
import { startImageRegistry } from '../test/harness/image-registry.ts';
import { applicationShares, dataShares, imageOf, layered } from '../test/harness/images.ts';
import { createNetworkNamespace } from '../test/harness/netns.ts';
import { run } from '../test/harness/process.ts';
import type { Scope } from '../test/harness/scope.ts';
import { main } from './harness/main.ts';
import { MiB, median, seconds } from './harness/stats.ts';

/**
 * A whole PullImage of a real containerd, through Shoal and without it, in pairs of alternating order: cold, and with
 * the image in Shoal's cache while the registry's link is slow. And what Shoal's socket adds to a small RPC.
 */
const { values: flags } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    'image-mib': { type: 'string', default: '256' },
    layers: { type: 'string', default: '4' },
    /** data: unpacking is cheap, the pull is about moving bytes. application: the runtime's unpacking takes most of it. */
    content: { type: 'string', default: 'data' },
    megabits: { type: 'string', default: '400' },
    calls: { type: 'string', default: '2000' },
    'memory-mib': { type: 'string', default: '512' },
    'disk-mib': { type: 'string' },
    'node-options': { type: 'string', default: '' },
  },
});

interface Side {
  readonly cri: CriClient;
  readonly containerd: Containerd;
}

interface Bench {
  readonly direct: Side;
  readonly shoal: Side;
  readonly agent: Agent;
  /** Image that is measured, and a small one that warms the processes up. */
  readonly image: string;
  readonly smallImage: string;
  limit(megabits: number | undefined): Promise<void>;
}

/** Two containerds of the same kind, one with Shoal before it, and their registry: all in one network namespace. */
async function setUp(scope: Scope): Promise<Bench> {
  const namespace = await createNetworkNamespace(scope);
  const { prefix } = namespace;
  const shares = flags.content === 'application' ? applicationShares : dataShares;
  const recipe = imageOf(Number(flags['image-mib']) * MiB, Number(flags.layers), shares);
  const registry = await startImageRegistry(scope, { image: recipe, small: layered }, { prefix });
  const direct = await startContainerd(scope, { prefix });
  const shoal = await startContainerd(scope, { prefix });
  const disk = flags['disk-mib'];
  const agent = await startAgent(scope, {
    runtimeSocket: shoal.socket,
    memoryTier: Number(flags['memory-mib']) * MiB,
    ...(disk === undefined ? {} : { diskTier: Number(disk) * MiB }),
    prefix,
    nodeOptions: flags['node-options'],
  });
  await configureRuntime(agent, shoal);
  return {
    direct: { cri: direct.cri, containerd: direct },
    shoal: { cri: agent.cri, containerd: shoal },
    agent,
    image: `${registry.host}/image:v1`,
    smallImage: `${registry.host}/small:v1`,
    limit: (megabits) => namespace.limit(Number(registry.host.split(':')[1]), megabits),
  };
}

/** One PullImage; the image is gone again afterwards, and the disk is idle before. */
async function timedPull(side: Side, image: string): Promise<number> {
  await run(['sync']);
  const time = await seconds(() => side.cri.pullImage(image));
  await side.containerd.cri.removeImage(image);
  return time;
}

interface Pairs {
  readonly direct: number[];
  readonly shoal: number[];
}

async function pairs(bench: Bench, runs: number, beforeShoal: () => Promise<void>): Promise<Pairs> {
  const times: Pairs = { direct: [], shoal: [] };
  for (let index = 0; index < runs; index += 1) {
    const order = index % 2 === 0 ? (['shoal', 'direct'] as const) : (['direct', 'shoal'] as const);
    for (const side of order) {
      if (side === 'shoal') await beforeShoal();
      times[side].push(await timedPull(bench[side], bench.image));
    }
  }
  return times;
}

function report(name: string, times: Pairs): number {
  const ratio = median(times.shoal.map((time, index) => time / (times.direct[index] ?? Number.NaN)));
  const list = (values: number[]): string => values.map((value) => value.toFixed(2)).join(' ');
  console.log(
    `${name}: shoal ${list(times.shoal)} s, direct ${list(times.direct)} s, median ratio ${ratio.toFixed(3)}`,
  );
  return ratio;
}

/** Milliseconds that ImageStatus takes longer through Shoal, at the median; the calls alternate. */
async function addedLatency(bench: Bench, calls: number): Promise<number> {
  const times: Pairs = { direct: [], shoal: [] };
  const sides = [
    ['direct', bench.shoal.containerd.cri],
    ['shoal', bench.shoal.cri],
  ] as const;
  for (let call = -100; call < calls; call += 1) {
    for (const [name, cri] of sides) {
      const time = (await seconds(() => cri.imageStatus(bench.smallImage))) * 1000;
      if (call >= 0) times[name].push(time);
    }
  }
  const p50 = { direct: median(times.direct), shoal: median(times.shoal) };
  console.log(`ImageStatus p50: direct ${p50.direct.toFixed(2)} ms, through Shoal ${p50.shoal.toFixed(2)} ms`);
  return p50.shoal - p50.direct;
}

await main('bench-pull', async (scope) => {
  console.log('building the images (once) and starting registry, two containerds and the agent');
  const bench = await setUp(scope);
  const runs = Number(flags.runs);
  // Processes that have pulled before, as on a node.
  for (const side of [bench.direct, bench.shoal]) await timedPull(side, bench.image);
  const cold = await pairs(bench, runs, async () => {
    await bench.agent.shoal('cache', 'clear');
  });
  const coldRatio = report('cold', cold);

  // The last pull left the image in Shoal's cache.
  await bench.limit(Number(flags.megabits));
  const warm = await pairs(bench, runs, async () => undefined);
  await bench.limit(undefined);
  const warmRatio = report(`warm, registry at ${flags.megabits} Mbit/s`, warm);

  await bench.shoal.cri.pullImage(bench.smallImage);
  const added = await addedLatency(bench, Number(flags.calls));

  const peak = await bench.agent.enginePeakMemory();
  const bound = bench.agent.memoryTier / MiB + 200;
  console.log(
    `engine's peak memory ${(peak / MiB).toFixed(0)} MiB (bound: memory tier + 200 MiB = ${bound.toFixed(0)} MiB)`,
  );
  return `bench-pull: cold ${coldRatio.toFixed(2)}x warm ${warmRatio.toFixed(2)}x of direct, cri p50 +${added.toFixed(2)} ms`;
});
