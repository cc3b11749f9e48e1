import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Cluster, type ClusterNode, startCluster } from '../harness/cluster.ts';
import { dataShares, imageOf } from '../harness/images.ts';
import { expectOriginBytes } from '../harness/origin-account.ts';
import { Scope } from '../harness/scope.ts';

const MiB = 1024 * 1024;

const images = {
  leases: imageOf(20 * MiB, 4, dataShares),
  shards: imageOf(21 * MiB, 4, dataShares),
  half: imageOf(22 * MiB, 4, dataShares),
  apart: imageOf(23 * MiB, 4, dataShares),
  healed: imageOf(16 * MiB, 4, dataShares),
};

/** Six nodes, three of them with a real containerd. Nodes are lost in the middle of a pull, and come back. */
describe('a swarm that loses nodes', () => {
  const scope = new Scope();
  let cluster: Cluster<keyof typeof images>;
  let nodes: readonly ClusterNode[];

  beforeAll(async () => {
    cluster = await startCluster(scope, { images, nodes: 6, containerds: 3, agent: { memoryTier: 128 * MiB } });
    nodes = cluster.nodes;
  });
  afterAll(() => scope.close());
  beforeEach(async () => {
    cluster.origin.reset();
    cluster.origin.rule = undefined;
    // A second attempt begins as the first one did.
    await cluster.network.heal();
  });

  const pullAll = async (which: readonly ClusterNode[], name: keyof typeof images): Promise<void> => {
    await Promise.all(which.map((node) => cluster.pull(node, name)));
  };
  /** Nodes that may die: a stand-in's pull ends with its agent's socket, as a kubelet's does. */
  const mortal = (count: number): readonly ClusterNode[] => nodes.slice(nodes.length - count);

  /** Begins pulls whose nodes are about to die: they may fail. */
  const doomed = (which: readonly ClusterNode[], name: keyof typeof images): Promise<unknown> =>
    Promise.allSettled(which.map((node) => cluster.pull(node, name)));

  test('finishes without the one that has a lease and is killed', async () => {
    const victims = new Map(mortal(3).map((node) => [node.host.address, node]));
    const stuck = Promise.withResolvers<ClusterNode>();
    cluster.origin.rule = (request) => {
      const victim = victims.get(request.client);
      if (request.kind !== 'blob' || victim === undefined) return undefined;
      stuck.resolve(victim);
      // Only the first one: the others go on.
      victims.clear();
      return { kind: 'hold', after: 1000, until: new Promise(() => undefined) };
    };
    const ended = Promise.allSettled(nodes.map((node) => cluster.pull(node, 'leases')));
    const victim = await stuck.promise;
    await victim.kill();
    const failed = (await ended).flatMap((result, index) =>
      result.status === 'rejected' && nodes[index] !== victim ? [result.reason] : [],
    );
    expect(failed).toEqual([]);
    await victim.restart();
    await cluster.pull(victim, 'leases');
    // What the killed node alone had is fetched once more.
    await expectOriginBytes(cluster, 'leases', 1.35);
  });

  test('finishes when a node is killed that pulls nothing but hosts a part of the directory', async () => {
    const [shard] = mortal(1);
    if (shard === undefined) throw new Error('no node');
    const others = nodes.filter((node) => node !== shard);
    const { size } = await cluster.content('shards');
    const pulls = pullAll(others, 'shards');
    await cluster.origin.hasSent(size * 0.3);
    await shard.kill();
    await pulls;
    await shard.restart();
    await cluster.pull(shard, 'shards');
    await expectOriginBytes(cluster, 'shards', 1.15);
  });

  test('finishes when half of the nodes are killed', async () => {
    const killed = mortal(3);
    const left = nodes.filter((node) => !killed.includes(node));
    const { size } = await cluster.content('half');
    const pulls = pullAll(left, 'half');
    const ended = doomed(killed, 'half');
    await cluster.origin.hasSent(size * 0.4);
    await Promise.all(killed.map((node) => node.kill()));
    await Promise.all([pulls, ended]);
    await Promise.all(killed.map((node) => node.restart()));
    await pullAll(killed, 'half');
    // At most what the killed half alone had by then comes twice.
    await expectOriginBytes(cluster, 'half', 1.4);
  });

  test('goes on in both parts of a broken network, and as one when it is whole again', async () => {
    const { size } = await cluster.content('apart');
    for (const node of nodes) {
      await cluster.forget(node, 'apart');
      expect(await node.agent.shoal('cache', 'clear')).toMatchObject({ code: 0 });
    }
    const parts = [nodes.slice(0, 3), nodes.slice(3)];
    const pulls = pullAll(nodes, 'apart');
    await cluster.origin.hasSent(size * 0.3);
    await cluster.network.partition(...parts.map((part) => part.map((node) => node.host)));
    await pulls;
    // Each part by itself once, what was on its way over the break, and the layers of readers that lost patience before their node had
    // noticed the break. Without Shoal it is six times.
    await expectOriginBytes(cluster, 'apart', 3);
    await cluster.network.heal();
    cluster.origin.reset();
    await pullAll(nodes, 'healed');
    // Nodes that don't know yet that they are one swarm again pull as two.
    await expectOriginBytes(cluster, 'healed', 3);
  });
});
