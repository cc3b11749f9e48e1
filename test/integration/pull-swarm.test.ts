import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RegistryError } from '../../src/registry/types.ts';
import type { PieceProvider } from '../../src/swarm/transfer/types.ts';
import { type LocalNode, LocalSwarm, type LocalSwarmOptions } from '../harness/local-swarm.ts';
import { Scope } from '../harness/scope.ts';
import { digestOf, imageOf } from '../harness/scripted-client.ts';

const MiB = 1024 * 1024;

let scope: Scope;

beforeEach(() => {
  scope = new Scope();
});
afterEach(() => scope.close());

async function startSwarm(count: number, options: LocalSwarmOptions = {}) {
  const swarm = new LocalSwarm(scope, options);
  await swarm.start(count);
  const image = imageOf([randomBytes(9 * MiB + 3), randomBytes(3 * MiB), Buffer.from([1])]);
  for (const { client } of swarm.nodes) client.add('v1', image);
  const bytes = image.blobs.reduce((sum, blob) => sum + blob.length, 0);
  const digests = image.blobs.map(digestOf).sort();
  const pullAll = (nodes: readonly LocalNode[] = swarm.nodes) =>
    Promise.all(nodes.map(async (node) => expect((await node.pull('v1')).sort()).toEqual(digests)));
  return { swarm, nodes: swarm.nodes, bytes, digests, pullAll };
}

/** A provider that spoils what a node gives. */
function spoiling(bad: number, spoil: (bytes: Buffer) => Buffer): LocalSwarmOptions {
  return {
    provider: (node, provider): PieceProvider =>
      node !== bad
        ? provider
        : {
            async get(key, signal) {
              const piece = await provider.get(key, signal);
              return piece && { ...piece, bytes: spoil(Buffer.from(piece.bytes)), release: () => piece.release() };
            },
          },
  };
}

describe('nodes that pull at once', () => {
  it('get every byte of the registry once, and everything else from each other', async () => {
    const { swarm, bytes, pullAll } = await startSwarm(4);
    await pullAll();
    expect(swarm.originBytes).toBe(bytes);
  });

  it('share what is still being pulled: a node that comes later asks the registry for nothing', async () => {
    const { swarm, nodes, bytes, pullAll } = await startSwarm(3);
    await pullAll(nodes.slice(0, 1));
    await pullAll(nodes.slice(1));
    expect(swarm.originBytes).toBe(bytes);
  });

  it('stream an image that is larger than any of their caches', async () => {
    const { swarm } = await startSwarm(3, { memoryBytes: 16 * MiB });
    const large = imageOf([randomBytes(40 * MiB)]);
    for (const { client } of swarm.nodes) client.add('v2', large);
    const pulled = await Promise.all(swarm.nodes.map((node) => node.pull('v2')));
    for (const digests of pulled) expect(digests.sort()).toEqual(large.blobs.map(digestOf).sort());
  });
});

describe('a node that does harm', () => {
  it.each([
    ['other bytes', (bytes: Buffer) => bytes.fill(7, 0, 1)],
    ['fewer bytes', (bytes: Buffer) => bytes.subarray(1)],
  ])('by giving %s hurts nobody, and its pieces come from elsewhere', async (_, spoil) => {
    const { pullAll, swarm, bytes } = await startSwarm(4, spoiling(0, spoil));
    await pullAll();
    expect(swarm.originBytes).toBeLessThanOrEqual(bytes * 2);
  });

  it('by publishing the wrong bytes of its origin is found out: nobody completes a wrong blob, and the next pull is right', async () => {
    const { nodes, digests, pullAll } = await startSwarm(3);
    let lies = 2;
    const [liar] = nodes;
    if (liar !== undefined) {
      liar.client.beforeChunk = (_fetch, _offset, chunk) => {
        if (lies === 0 || chunk.length < 100) return chunk;
        lies -= 1;
        return Buffer.alloc(chunk.length, 9);
      };
    }
    for (const outcome of await Promise.allSettled(nodes.map((node) => node.pull('v1')))) {
      if (outcome.status === 'fulfilled') expect(outcome.value.sort()).toEqual(digests);
      else expect(outcome.reason).toMatchObject({ kind: 'corrupt' });
    }
    expect(lies).toBe(0);
    await pullAll();
  });
});

describe('a swarm that fails', () => {
  it('leaves every node with the registry, in the middle of a pull, too', async () => {
    const { swarm, nodes, pullAll } = await startSwarm(2);
    const [first] = nodes;
    let chunks = 0;
    if (first !== undefined) {
      first.client.beforeChunk = (_fetch, _offset, chunk) => {
        chunks += 1;
        if (chunks === 20) swarm.present = false;
        return chunk;
      };
    }
    await pullAll();
  });

  it('is used again when it is back', async () => {
    const { swarm, nodes, bytes, pullAll } = await startSwarm(2);
    swarm.present = false;
    await pullAll(nodes.slice(0, 1));
    expect(swarm.originBytes).toBe(bytes);
    swarm.present = true;
    await pullAll(nodes.slice(1));
    expect(swarm.originBytes).toBe(2 * bytes);
  });

  it('gives a node without a way to the registry what the others fetch', async () => {
    const { swarm, nodes, bytes } = await startSwarm(3);
    const [cut] = nodes;
    if (cut !== undefined) {
      const { client } = cut;
      client.fetchBlob = () => Promise.reject(new RegistryError('unavailable', 'no route'));
    }
    const pulls = nodes.map((node) => node.pull('v1'));
    const results = await Promise.allSettled(pulls);
    expect(results.slice(1).every(({ status }) => status === 'fulfilled')).toBe(true);
    expect(swarm.originBytes).toBeLessThanOrEqual(bytes);
    await vi.waitFor(async () => expect((await nodes[0]?.pull('v1'))?.length).toBeGreaterThan(0));
  });
});
