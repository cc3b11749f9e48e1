import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Cluster, type ClusterNode, startCluster } from '../harness/cluster.ts';
import type { CriAuth } from '../harness/cri-client.ts';
import { dataShares, imageOf } from '../harness/images.ts';
import { fromContainerd } from '../harness/node.ts';
import { expectOriginBytes } from '../harness/origin-account.ts';
import { Scope } from '../harness/scope.ts';

const MiB = 1024 * 1024;
const right: CriAuth = { username: 'alice', password: 'correct horse' };
const wrong: CriAuth = { username: 'alice', password: 'battery staple' };

const images = {
  together: imageOf(24 * MiB, 4, dataShares),
  staggered: imageOf(25 * MiB, 4, dataShares),
  evicted: imageOf(12 * MiB, 3, dataShares),
  kept: imageOf(13 * MiB, 3, dataShares),
  secret: imageOf(8 * MiB, 2, dataShares),
};

/** Directory shards may change hands in the middle, and a byte is lost with a connection: nothing more. */
const once = 1.02;

/** Six nodes, three of them with a real containerd, mutual TLS between them, a registry that wants a password. */
describe('six nodes in a swarm', () => {
  const scope = new Scope();
  let cluster: Cluster<keyof typeof images>;
  let nodes: readonly ClusterNode[];

  beforeAll(async () => {
    cluster = await startCluster(scope, {
      images,
      nodes: 6,
      containerds: 3,
      tls: true,
      auth: { htpasswd: { alice: 'correct horse' } },
      agent: { memoryTier: 64 * MiB, diskTier: 256 * MiB },
    });
    nodes = cluster.nodes;
  });
  afterAll(() => scope.close());
  beforeEach(() => cluster.origin.reset());

  const pull = (node: ClusterNode, name: keyof typeof images): Promise<void> =>
    cluster.pull(node, name, { auth: right });
  const at = (index: number): ClusterNode => {
    const node = nodes[index];
    if (node === undefined) throw new Error(`there is no node ${index}`);
    return node;
  };
  const lose = async (node: ClusterNode, name: keyof typeof images): Promise<void> => {
    await cluster.forget(node, name);
    expect(await node.agent.shoal('cache', 'clear')).toMatchObject({ code: 0 });
  };

  test('pull an image at once: the registry sends it once, and no runtime asks it', async () => {
    await Promise.all(nodes.map((node) => pull(node, 'together')));
    await expectOriginBytes(cluster, 'together', once);
    expect(cluster.origin.requests.filter((request) => fromContainerd(request) && request.kind === 'blob')).toEqual([]);
  });

  test('pull an image one after the other, each while the others are at it', async () => {
    const { size } = await cluster.content('staggered');
    const pulls: Promise<void>[] = [];
    for (const [index, node] of nodes.entries()) {
      await cluster.origin.hasSent((size * 0.6 * index) / nodes.length);
      pulls.push(pull(node, 'staggered'));
    }
    await Promise.all(pulls);
    await expectOriginBytes(cluster, 'staggered', once);
  });

  test('need the registry no more for one that joins late, when the first has evicted the image', async () => {
    const [late, ...others] = nodes;
    if (late === undefined) throw new Error('no node');
    await Promise.all(others.map((node) => pull(node, 'evicted')));
    await lose(at(1), 'evicted');
    await pull(late, 'evicted');
    await expectOriginBytes(cluster, 'evicted', once);
  });

  test('find the cache of a node that was restarted', async () => {
    const keeper = at(5);
    await pull(keeper, 'kept');
    await keeper.agent.restart();
    await Promise.all(nodes.filter((node) => node !== keeper).map((node) => pull(node, 'kept')));
    await expectOriginBytes(cluster, 'kept', once);
    await cluster.forget(keeper, 'kept');
    await pull(keeper, 'kept');
    await expectOriginBytes(cluster, 'kept', once);
  });

  test('give a private image to the right secret alone', async () => {
    await pull(at(0), 'secret');
    for (const auth of [wrong, {}]) {
      await expect(cluster.pull(at(1), 'secret', { auth })).rejects.toThrow(/401|unauthorized|authori[sz]ation/i);
      await expect(cluster.pull(at(4), 'secret', { auth })).rejects.toThrow(/401|unauthorized|authori[sz]ation/i);
    }
    expect(await at(1).containerd?.verifiedContent()).not.toContain((await cluster.content('secret')).config);
    await Promise.all([at(1), at(4)].map((node) => pull(node, 'secret')));
    await expectOriginBytes(cluster, 'secret', once);
  });
});
