import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type Agent, startAgent } from '../test/harness/agent.ts';
import { imageContent, startImageRegistry } from '../test/harness/image-registry.ts';
import { opaque } from '../test/harness/images.ts';
import { startNginx } from '../test/harness/nginx.ts';
import { childrenOf, cpuSeconds } from '../test/harness/process.ts';
import type { Scope } from '../test/harness/scope.ts';
import { temporaryFolder } from '../test/harness/temp.ts';
import { discardBody } from './harness/http-client.ts';
import { main } from './harness/main.ts';
import { GB, MiB, median, seconds } from './harness/stats.ts';

/**
 * GET of a blob that Shoal holds, from its mirror, against nginx sending the same bytes from a file in the page cache.
 * The client is the same for both, in this process; the servers' CPU is what the kernel accounts to their processes.
 */
const { values: flags } = parseArgs({
  options: {
    runs: { type: 'string', default: '7' },
    'blob-mib': { type: 'string', default: '1024' },
    /** Bytes of the memory tier; smaller than the blob, the rest is read from the disk tier. */
    'memory-mib': { type: 'string' },
    'disk-mib': { type: 'string' },
    'node-options': { type: 'string', default: '' },
  },
});

interface Server {
  readonly name: string;
  readonly url: URL;
  readonly pids: readonly number[];
}

interface Sample {
  readonly rate: number;
  readonly cpu: number;
}

async function measure(server: Server, connections: number, size: number): Promise<Sample> {
  const cpu = async (): Promise<number> => (await Promise.all(server.pids.map(cpuSeconds))).reduce((a, b) => a + b, 0);
  const before = await cpu();
  const time = await seconds(() => Promise.all(Array.from({ length: connections }, () => discardBody(server.url))));
  const bytes = connections * size;
  return { rate: bytes / time / GB, cpu: ((await cpu()) - before) / (bytes / GB) };
}

async function startServers(scope: Scope, size: number): Promise<{ agent: Agent; shoal: Server; nginx: Server }> {
  const registry = await startImageRegistry(scope, { opaque: opaque(size) });
  const { layers } = await imageContent(registry.url, 'opaque');
  const digest = layers[0]?.digest ?? '';
  const disk = flags['disk-mib'];
  const agent = await startAgent(scope, {
    memoryTier: Number(flags['memory-mib'] ?? Math.ceil(size / MiB) + 256) * MiB,
    ...(disk === undefined ? {} : { diskTier: Number(disk) * MiB }),
    nodeOptions: flags['node-options'],
  });
  const url = new URL(`${agent.mirrorUrl}/v2/opaque/blobs/${digest}?ns=${registry.host}`);
  const folder = await temporaryFolder(scope, 'files');
  await writeFile(path.join(folder, 'blob'), await fetchChecked(url, digest));
  const nginx = await startNginx(scope, folder);
  return {
    agent,
    shoal: { name: 'shoal', url, pids: [agent.process.pid, await agent.enginePid()] },
    nginx: {
      name: 'nginx',
      url: new URL(`${nginx.url}/blob`),
      pids: [nginx.process.pid, ...(await childrenOf(nginx.process.pid))],
    },
  };
}

/** The blob through the mirror, which caches it by that; its digest must be right. */
async function fetchChecked(url: URL, digest: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  await discardBody(url, {}, (bytes) => parts.push(Buffer.from(bytes)));
  const blob = Buffer.concat(parts);
  const actual = `sha256:${createHash('sha256').update(blob).digest('hex')}`;
  if (actual !== digest) throw new Error(`the mirror sent ${actual} for ${digest}`);
  return blob;
}

await main('bench-mirror', async (scope) => {
  const size = Number(flags['blob-mib']) * MiB;
  const runs = Number(flags.runs);
  console.log(`building a blob of ${size / MiB} MiB (once) and starting the servers`);
  const { agent, shoal, nginx } = await startServers(scope, size);

  const ratios: number[] = [];
  const all: Record<'shoal' | 'nginx', number[]> = { shoal: [], nginx: [] };
  for (const connections of [1, 3]) {
    const samples: Record<'shoal' | 'nginx', Sample[]> = { shoal: [], nginx: [] };
    for (let run = -1; run < runs; run += 1) {
      const pair = [
        ['shoal', shoal],
        ['nginx', nginx],
      ] as const;
      for (const [name, server] of run % 2 === 0 ? pair : pair.toReversed()) {
        const sample = await measure(server, connections, size);
        // The first round warms up.
        if (run >= 0) samples[name].push(sample);
      }
    }
    const paired = samples.shoal.map((sample, index) => sample.rate / (samples.nginx[index]?.rate ?? Number.NaN));
    ratios.push(median(paired));
    for (const name of ['shoal', 'nginx'] as const) {
      const rate = median(samples[name].map((sample) => sample.rate));
      const cpu = median(samples[name].map((sample) => sample.cpu));
      all[name].push(...samples[name].map((sample) => sample.cpu));
      console.log(`${connections} connection(s)  ${name}  ${rate.toFixed(2)} GB/s  ${cpu.toFixed(3)} cpu-s/GB`);
    }
    console.log(`${connections} connection(s)  ${median(paired).toFixed(2)}x of nginx, median of ${runs} pairs`);
  }
  const peak = (await agent.enginePeakMemory()) / MiB;
  const bound = agent.memoryTier / MiB + 200;
  console.log(`engine's peak memory ${peak.toFixed(0)} MiB (bound: memory tier + 200 MiB = ${bound.toFixed(0)} MiB)`);
  // The slower of the two numbers of connections stands for both.
  const worst = Math.min(...ratios).toFixed(2);
  return `bench-mirror: ${worst}x of nginx, ${median(all.shoal).toFixed(3)} cpu-s/GB (nginx ${median(all.nginx).toFixed(3)})`;
});
