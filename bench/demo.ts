import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { SingleBar } from 'cli-progress';
import { type Agent, configureRuntime, startAgent } from '../test/harness/agent.ts';
import { type Containerd, startContainerd } from '../test/harness/containerd.ts';
import { type ImageContent, imageContent, startImageRegistry } from '../test/harness/image-registry.ts';
import { applicationShares, imageOf } from '../test/harness/images.ts';
import { type Relay, startRelay } from '../test/harness/relay.ts';
import { main } from './harness/main.ts';
import { MiB, seconds } from './harness/stats.ts';

/** Pulls an image twice over Shoal's CRI socket, as a kubelet would, and tells where the bytes came from. */
const { values: flags } = parseArgs({
  options: { 'image-mib': { type: 'string', default: '128' }, layers: { type: 'string', default: '6' } },
});

const mib = (bytes: number): string => `${(bytes / MiB).toFixed(1)} MiB`;

/** A bar on a terminal (without colours where NO_COLOR asks for that), a line for every quarter elsewhere. */
function progress(total: number): { at(bytes: number): void; end(): void } {
  if (process.stdout.isTTY) {
    const cyan = process.env.NO_COLOR ? ['', ''] : ['\u001b[36m', '\u001b[0m'];
    const bar = new SingleBar({
      format: `  ${cyan[0]}{bar}${cyan[1]} {percentage}%  {done} of ${mib(total)}`,
      barCompleteChar: '\u2588',
      barIncompleteChar: '\u2591',
      hideCursor: true,
    });
    bar.start(total, 0, { done: mib(0) });
    return {
      at: (bytes) => bar.update(Math.min(bytes, total), { done: mib(bytes) }),
      end: () => {
        bar.update(total, { done: mib(total) });
        bar.stop();
      },
    };
  }
  let told = 0;
  const at = (bytes: number): void => {
    for (; told < 4 && bytes >= (total * (told + 1)) / 4; told += 1)
      console.log(`  ${(told + 1) * 25}% of ${mib(total)}`);
  };
  return { at, end: () => at(total) };
}

/** One PullImage through Shoal, with its progress: the bytes that have arrived at containerd. Gives the seconds. */
async function pull(agent: Agent, containerd: Containerd, image: string, size: number): Promise<number> {
  const before = await containerd.contentBytes();
  const bar = progress(size);
  let pulling = true;
  const watch = async (): Promise<void> => {
    while (pulling) {
      bar.at((await containerd.contentBytes()) - before);
      await delay(100);
    }
  };
  const watching = watch();
  try {
    return await seconds(() => agent.cri.pullImage(image));
  } finally {
    pulling = false;
    await watching;
    bar.end();
  }
}

/** Every blob of the image must be in containerd, with the bytes that its digest says. */
async function check(containerd: Containerd, content: ImageContent): Promise<void> {
  const there = new Set(await containerd.verifiedContent());
  const missing = content.blobs.filter((blob) => !there.has(blob.digest));
  if (missing.length > 0) throw new Error(`containerd lacks ${missing.map((blob) => blob.digest).join(', ')}`);
  console.log(`  ${content.blobs.length} blobs in containerd, all digests right`);
}

async function tellSources(agent: Agent, relay: Relay, pulls: number): Promise<void> {
  const { bytes } = await agent.nthPull(pulls);
  if (bytes === undefined) throw new Error('the log line of the pull does not tell where its bytes came from');
  const { memory, disk, peer, origin } = bytes;
  console.log(
    `  from the registry ${mib(origin)}, from this node's memory ${mib(memory)}, its disk ${mib(disk)}, other nodes ${mib(peer)}`,
  );
  console.log(`  bytes that left the registry: ${mib(relay.contentBytes)}`);
}

await main('demo', async (scope) => {
  console.log('building the image (first time only)');
  const images = { demo: imageOf(Number(flags['image-mib']) * MiB, Number(flags.layers), applicationShares) };
  const registry = await startImageRegistry(scope, images);
  const content = await imageContent(registry.url, 'demo');
  const relay = await startRelay(scope, registry.url);
  console.log('starting a registry, containerd and the agent');
  const containerd = await startContainerd(scope);
  const agent = await startAgent(scope, { runtimeSocket: containerd.socket });
  await configureRuntime(agent, containerd);
  const image = `${relay.host}/demo:v1`;

  console.log(`first pull of ${image}: ${content.layers.length} layers, ${mib(content.size)}`);
  const first = await pull(agent, containerd, image, content.size);
  await check(containerd, content);
  await tellSources(agent, relay, 1);
  const originBytes = relay.contentBytes;

  await agent.cri.removeImage(image);
  relay.reset();
  console.log('second pull, after containerd has forgotten the image');
  const second = await pull(agent, containerd, image, content.size);
  await check(containerd, content);
  await tellSources(agent, relay, 2);

  console.log(`first pull ${first.toFixed(2)} s, second pull ${second.toFixed(2)} s (unpacking included)`);
  const ratio = ((originBytes + relay.contentBytes) / content.size).toFixed(2);
  if (ratio !== '1.00') throw new Error(`the registry sent ${ratio} times the image; once is what Shoal promises`);
  return `demo ok: nodes=1 image=${Math.round(content.size / MiB)} origin=${ratio}x`;
});
