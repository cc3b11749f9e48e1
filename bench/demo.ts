import { parseArgs } from 'node:util';
import { unpackInDebian } from '../test/harness/bare-debian.ts';
import { type Cluster, type ClusterNode, startCluster } from '../test/harness/cluster.ts';
import { applicationShares, imageOf } from '../test/harness/images.ts';
import { expectOriginBytes } from '../test/harness/origin-account.ts';
import { watchFlows } from './harness/flow-view.ts';
import { main } from './harness/main.ts';
import { MiB, seconds } from './harness/stats.ts';

/**
 * Three nodes, each with a containerd and Shoal before it, pull the same image at the same moment. The registry sends it once. Then
 * one of them loses it, and gets it back from the others while the registry can't be reached.
 */
const { values: flags } = parseArgs({
  options: {
    'image-mib': { type: 'string', default: '128' },
    layers: { type: 'string', default: '6' },
    /** Links, in 10^6 bits a second each way. */
    rate: { type: 'string', default: '200' },
    /** Shoal is what `make package` made, in a Debian 12 with nothing else; registry and containerds are this machine's. */
    packaged: { type: 'boolean', default: false },
  },
});

type Demo = Cluster<'demo'>;

/** Has the nodes pull, shows it, and checks what their runtimes have then. Gives the seconds. */
async function pull(demo: Demo, nodes: readonly ClusterNode[], total: number): Promise<number> {
  const receivers = nodes.map(({ host }) => host);
  const time = await watchFlows({ network: demo.network, receivers, total }, () =>
    seconds(() => Promise.all(nodes.map(({ agent }) => agent.cri.pullImage(demo.image('demo'))))),
  );
  return time;
}

await main('demo', async (scope) => {
  console.log(
    'building the image (first time only); starting a registry and three nodes, each a containerd and an agent',
  );
  const images = { demo: imageOf(Number(flags['image-mib']) * MiB, Number(flags.layers), applicationShares) };
  const rate = Number(flags.rate);
  const packaged = flags.packaged ? await unpackInDebian(scope) : undefined;
  const agent = packaged === undefined ? {} : { program: packaged.program };
  const options = { images, nodes: 3, containerds: 3, megabits: rate, originMegabits: rate, agent };
  const demo = await startCluster(scope, options);
  if (packaged !== undefined) {
    for (const node of demo.nodes) await packaged.expectNothingElse(node.agent);
    console.log('every Shoal runs from the package, with its Node, in a Debian 12 that has nothing else');
  }
  const content = await demo.content('demo');
  const size = content.size;
  const [, , last] = demo.nodes;
  if (last === undefined) throw new Error('the cluster has no third node');
  const mib = (bytes: number): string => `${(bytes / MiB).toFixed(1)} MiB`;

  console.log(
    `three nodes pull ${demo.image('demo')} at once: ${content.layers.length} layers, ${mib(size)}; every link has ${rate} Mbit/s`,
  );
  const first = await pull(demo, demo.nodes, size);
  for (const node of demo.nodes) await demo.expectImage(node, 'demo');
  const alone = (size * 8) / 1e6 / rate;
  console.log(
    `  done in ${first.toFixed(1)} s, unpacking included; the registry's link alone needs ${alone.toFixed(1)} s for one, ${(3 * alone).toFixed(1)} s for three`,
  );
  console.log(
    `  in every containerd ${content.blobs.length} blobs, all digests right; the registry sent ${mib(demo.origin.contentBytes)}`,
  );

  console.log(
    `${last.host.name} loses the image and its cache, and the registry's plug is pulled; ${last.host.name} pulls again`,
  );
  await demo.forget(last, 'demo');
  await last.agent.shoal('cache', 'clear');
  await demo.originHost.disconnect();
  const second = await pull(demo, [last], size);
  await demo.expectImage(last, 'demo');
  console.log(`  done in ${second.toFixed(1)} s, all digests right, without the registry`);

  // Once is what Shoal promises.
  await expectOriginBytes(demo, 'demo', 1.004);
  const ratio = (demo.origin.contentBytes / size).toFixed(2);
  return `demo ok: nodes=3 image=${Math.round(size / MiB)} origin=${ratio}x`;
});
