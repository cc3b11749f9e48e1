import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Cluster, type ClusterNode, startCluster } from '../test/harness/cluster.ts';
import { opaque } from '../test/harness/images.ts';
import { peakMemory, runBy, start } from '../test/harness/process.ts';
import { startRuntimeStandIn } from '../test/harness/runtime-stand-in.ts';
import type { Scope } from '../test/harness/scope.ts';
import { type CpuReading, countCpu } from './harness/cpu.ts';
import { main } from './harness/main.ts';
import { GB, MiB, seconds } from './harness/stats.ts';

/**
 * Nodes that pull one image at the same moment, each behind a link of its own: how often the registry sends it, and how long it
 * takes, against the time that one link needs for it. Then the same without Shoal. Runtimes are stand-ins that fetch and check like
 * containerd but unpack nothing: on one machine all nodes share the disk.
 */
const { values: flags } = parseArgs({
  allowNegative: true,
  options: {
    nodes: { type: 'string', default: '8' },
    /** Links, in 10^6 bits a second each way; the registry's is like a node's by default. */
    rate: { type: 'string', default: '200' },
    'origin-rate': { type: 'string' },
    /** MiB of random bytes. */
    image: { type: 'string', default: '256' },
    layers: { type: 'string', default: '4' },
    /** MiB of an image that all nodes pull before: like nodes that have been at work. It takes a slow node ten times as long. */
    warm: { type: 'string', default: '252' },
    /** Seconds between the beginnings of two nodes' pulls. */
    stagger: { type: 'string', default: '0' },
    /** The nodes are in so many zones, by turns. */
    zones: { type: 'string', default: '1' },
    /** The last node's link has a tenth of the rate. */
    'slow-node': { type: 'boolean', default: false },
    tls: { type: 'boolean', default: false },
    /** Every agent's metrics are scraped, the first one's status page is open; --no-observed: they are not even served. */
    observed: { type: 'boolean' },
    /** --no-direct leaves out the pull without Shoal. */
    direct: { type: 'boolean', default: true },
    /** Tiers of every node's cache; --disk-mib 0 is memory mode. */
    'memory-mib': { type: 'string', default: '64' },
    'disk-mib': { type: 'string', default: '1024' },
    json: { type: 'boolean', default: false },
    /** Arguments for the engines' Node, such as a profiler's. */
    'node-options': { type: 'string' },
  },
});

const nodeCount = Number(flags.nodes);
const rate = Number(flags.rate);
const originRate = Number(flags['origin-rate'] ?? rate);
const zones = Number(flags.zones);
const isSlow = (node: number): boolean => flags['slow-node'] && node === nodeCount - 1;
const zoneOf = (node: number): string => `zone${node % zones}`;
const images = {
  image: opaque(Number(flags.image) * MiB, Number(flags.layers)),
  warm: opaque(Number(flags.warm) * MiB, 3),
};

/** A pull may take minutes at a low rate: no deadline. */
const patience = { signal: new AbortController().signal };

type Bench = Cluster<keyof typeof images>;

async function startBench(scope: Scope): Promise<Bench> {
  const diskTier = Number(flags['disk-mib']) * MiB;
  return await startCluster(scope, {
    images,
    nodes: nodeCount,
    megabits: (node) => (isSlow(node) ? rate / 10 : rate),
    originMegabits: originRate,
    cheapBlobs: true,
    zone: zoneOf,
    tls: flags.tls,
    agent: {
      memoryTier: Number(flags['memory-mib']) * MiB,
      telemetry: flags.observed !== false,
      ...(diskTier === 0 ? {} : { diskTier }),
      ...(flags['node-options'] === undefined ? {} : { nodeOptions: flags['node-options'] }),
    },
  });
}

async function agentPids({ agent }: ClusterNode): Promise<number[]> {
  return [agent.process.pid, await agent.enginePid()];
}

/** Seconds of every node's pull. */
async function pullEverywhere(pull: (node: number) => Promise<unknown>): Promise<number[]> {
  return await Promise.all(
    Array.from({ length: nodeCount }, async (_, node) => {
      await delay(node * Number(flags.stagger) * 1000);
      return await seconds(() => pull(node));
    }),
  );
}

interface Measured {
  readonly times: readonly number[];
  readonly originBytes: number;
  readonly cpu: CpuReading;
  /** Peak memory of each node's processes, in bytes. */
  readonly memory: readonly number[];
  /** TCP payload that went between nodes, in bytes: pieces, those given up half-way too, and what the directory says. */
  readonly betweenNodes: number;
  /** The part of it that went from one zone to another. */
  readonly crossZone: number;
}

async function lookAt(scope: Scope, { host, agent }: ClusterNode, page: boolean): Promise<void> {
  const onlooker = [
    process.execPath,
    path.join(import.meta.dirname, 'harness/onlooker.ts'),
    agent.telemetryUrl,
  ] as const;
  await start(scope, 'onlooker', runBy(host.prefix, page ? [...onlooker, 'page'] : onlooker), {});
}

async function measureShoal(scope: Scope, bench: Bench): Promise<Measured> {
  const { nodes, network } = bench;
  // Processes that have pulled before, as on a node: compiled code, and memory that the kernel has given already.
  await Promise.all(nodes.map((node) => bench.pull(node, 'warm')));
  const contentBefore = await bench.contentBytes();
  const agents = (await Promise.all(nodes.map(agentPids))).flat();
  if (flags.observed === true) await Promise.all(nodes.map((node, index) => lookAt(scope, node, index === 0)));
  const sentBefore = await network.sent();
  const readCpu = await countCpu({ agents, runtimes: nodes.map(({ runtimePid }) => runtimePid), bench: [process.pid] });
  const times = await pullEverywhere(
    (node) => bench.nodes[node]?.agent.cri.pullImage(bench.image('image'), patience) ?? fail(),
  );
  const cpu = await readCpu();
  const originBytes = (await bench.contentBytes()) - contentBefore;
  const sent = await network.sent();
  let crossZone = 0;
  let betweenNodes = 0;
  for (const [from, { host }] of nodes.entries()) {
    for (const [to, { host: other }] of nodes.entries()) {
      if (from === to) continue;
      const bytes = sent(host, other) - sentBefore(host, other);
      betweenNodes += bytes;
      if (zoneOf(from) !== zoneOf(to)) crossZone += bytes;
    }
  }
  const memory = await Promise.all(
    nodes.map(async (node) => {
      const peaks = await Promise.all((await agentPids(node)).map(peakMemory));
      return peaks.reduce((sum, peak) => sum + peak, 0);
    }),
  );
  return { times, originBytes, cpu, memory, betweenNodes, crossZone };
}

/** The same pulls, the runtimes asking the registry themselves. */
async function measureDirect(scope: Scope, bench: Bench): Promise<readonly number[]> {
  const runtimes = await Promise.all(
    bench.nodes.map(({ host }) => startRuntimeStandIn(scope, { prefix: host.prefix })),
  );
  return await pullEverywhere((node) => runtimes[node]?.cri.pullImage(bench.image('image'), patience) ?? fail());
}

function fail(): never {
  throw new Error('there is no such node');
}

async function tellNodes(bench: Bench, { times, betweenNodes }: Measured, bound: number): Promise<void> {
  let pieces = 0;
  for (const [index, node] of bench.nodes.entries()) {
    const { bytes } = await node.agent.nthPull(2);
    const mib = (count = 0): string => (count / MiB).toFixed(1).padStart(6);
    const time = times[index] ?? Number.NaN;
    pieces += bytes?.peer ?? 0;
    const notes = [zones > 1 ? zoneOf(index) : '', isSlow(index) ? 'slow' : ''].filter(Boolean).join(', ');
    console.log(
      `${node.host.name}: ${time.toFixed(2)} s (${(time / bound).toFixed(2)}x)  MiB from the registry ${mib(bytes?.origin)}, from peers ${mib(bytes?.peer)}  ${notes}`,
    );
  }
  const mib = (count: number): string => (count / MiB).toFixed(1);
  console.log(`between nodes ${mib(betweenNodes)} MiB of payload for ${mib(pieces)} MiB of pieces`);
}

await main('bench-swarm', async (scope) => {
  console.log(`starting ${nodeCount} nodes with ${rate} Mbit/s, a registry with ${originRate} Mbit/s`);
  const bench = await startBench(scope);
  const { size } = await bench.content('image');
  const bound = (size * 8) / 1e6 / Math.min(rate, originRate);
  const measured = await measureShoal(scope, bench);
  await tellNodes(bench, measured, bound);
  const direct = flags.direct ? await measureDirect(scope, bench) : [];

  const { times, cpu, memory, crossZone, originBytes } = measured;
  const last = (all: readonly number[]): number => Math.max(...all.filter((_, node) => !isSlow(node)));
  const figures = {
    nodes: nodeCount,
    origin: originBytes / size,
    time: last(times) / bound,
    direct: direct.length === 0 ? Number.NaN : last(direct) / bound,
    cpu: (cpu.groups.get('agents') ?? Number.NaN) / ((nodeCount * size) / GB),
    rss: Math.max(...memory) / MiB,
    crossZone: crossZone / size,
    busy: cpu.busy,
  };
  if (flags.json) console.log(JSON.stringify({ ...figures, times, directTimes: direct, bound, bytes: size }));
  if (zones > 1) {
    console.log(
      `between zones ${figures.crossZone.toFixed(3)}x the image (${zones - 1} is the least), by the links' counters`,
    );
  }
  const shares = [...cpu.groups].map(([name, used]) => `${name} ${used.toFixed(1)} s`).join(', ');
  console.log(`CPU: ${(cpu.busy * 100).toFixed(0)} % busy, ${cpu.machine.toFixed(1)} s in all; ${shares}`);
  if (cpu.busy > 0.9) console.log('the CPU was the bound, not the links: fewer nodes or a lower rate tell more');
  const directTime = flags.direct ? `${figures.direct.toFixed(2)}x` : 'not measured';
  return `bench-swarm: nodes ${nodeCount} origin ${figures.origin.toFixed(2)}x time ${figures.time.toFixed(2)}x of bound, direct ${directTime}, cpu ${figures.cpu.toFixed(2)} s/GB, rss ${figures.rss.toFixed(0)} MiB`;
});
