import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Cluster, type ClusterNode, startCluster } from '../harness/cluster.ts';
import { type HostilePeer, startHostilePeer } from '../harness/hostile-peer.ts';
import { dataShares, imageOf } from '../harness/images.ts';
import { expectOriginBytes } from '../harness/origin-account.ts';
import { Scope } from '../harness/scope.ts';

const MiB = 1024 * 1024;
const megabits = 200;
/** The node with broken memory, and the one with the slow link. */
const hostile = 4;
const slow = 3;
const hostilePort = 65011;

const images = {
  slow: imageOf(12 * MiB, 4, dataShares),
  corrupt: imageOf(40 * MiB, 4, dataShares),
  cut: imageOf(16 * MiB, 4, dataShares),
  outage: imageOf(14 * MiB, 3, dataShares),
};

describe('a swarm with bad company', () => {
  const scope = new Scope();
  let cluster: Cluster<keyof typeof images>;
  let nodes: readonly ClusterNode[];
  let broken: HostilePeer;

  beforeAll(async () => {
    cluster = await startCluster(scope, {
      images,
      nodes: 5,
      containerds: 3,
      megabits: (node) => (node === slow ? megabits / 10 : megabits),
      // Its own port is behind the proxy, which has the one that everybody knows.
      p2p: (node, member) => (node === hostile ? { port: hostilePort, id: member } : {}),
      prepare: async (machines) => {
        const host = machines[hostile];
        if (host === undefined) throw new Error('no hostile node');
        broken = await startHostilePeer(scope, host, {
          port: 65001,
          behind: hostilePort,
          first: 500_000,
          distance: 10_000_000,
        });
      },
      agent: { memoryTier: 128 * MiB },
    });
    nodes = cluster.nodes;
  });
  afterAll(() => scope.close());
  beforeEach(() => {
    cluster.origin.reset();
    cluster.origin.rule = undefined;
  });

  const pullAll = async (name: keyof typeof images): Promise<void> => {
    await Promise.all(nodes.map((node) => cluster.pull(node, name)));
  };

  test('pulls although a node has a tenth of the speed', async () => {
    await pullAll('slow');
    await expectOriginBytes(cluster, 'slow', 1.02);
  });

  test('pulls although the registry cuts every third connection', async () => {
    let connection = 0;
    cluster.origin.rule = (request) => {
      if (request.kind !== 'blob') return undefined;
      connection += 1;
      if (connection % 3 !== 0) return undefined;
      return { kind: 'cut', after: 100_000, how: connection % 2 === 0 ? 'fin' : 'reset' };
    };
    await pullAll('cut');
    await expectOriginBytes(cluster, 'cut', 1.3);
  });

  test('pulls again what it has pulled before while the registry is down', async () => {
    await pullAll('outage');
    await expectOriginBytes(cluster, 'outage', 1.02);
    const [first, second] = nodes;
    if (first === undefined || second === undefined) throw new Error('no nodes');
    for (const node of [first, second]) {
      await cluster.forget(node, 'outage');
      expect(await node.agent.shoal('cache', 'clear')).toMatchObject({ code: 0 });
    }
    await cluster.originHost.disconnect();
    try {
      await Promise.all([first, second].map((node) => cluster.pull(node, 'outage')));
    } finally {
      await cluster.originHost.reconnect();
    }
  });

  test('pulls although a node makes one byte in ten million wrong', async () => {
    broken.beginToLie();
    await pullAll('corrupt');
    expect(broken.wrongBytes).toBeGreaterThan(0);
    // Nobody asks it any more: what it alone has, a fifth at the most, comes from the registry again.
    await expectOriginBytes(cluster, 'corrupt', 1.25);
  });
});

describe('a swarm whose caches have a quarter of the image', () => {
  const scope = new Scope();
  afterAll(() => scope.close());

  test('pulls it', async () => {
    const cluster = await startCluster(scope, {
      images: { large: imageOf(64 * MiB, 4, dataShares) },
      nodes: 4,
      agent: { memoryTier: 16 * MiB },
    });
    await Promise.all(cluster.nodes.map((node) => cluster.pull(node, 'large')));
    await expectOriginBytes(cluster, 'large', 1.5);
  });
});
