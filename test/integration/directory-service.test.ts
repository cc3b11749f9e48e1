import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DirectoryNodes } from '../harness/directory-nodes.ts';
import { Scope } from '../harness/scope.ts';

const blob = `sha256:${'ab'.repeat(32)}`;
/** One of each bucket, so that they are spread over all shards. */
const pieces = Array.from({ length: 24 }, (_, bucket) => bucket * 32);

let scope: Scope;
let swarm: DirectoryNodes;
beforeEach(() => {
  scope = new Scope();
  swarm = new DirectoryNodes(scope);
});
afterEach(() => scope.close());

describe('nodes that know each other', () => {
  test('have one lease for each piece between them, and the others take it from who has it', async () => {
    const nodes = await swarm.start(['node-1', 'node-2', 'node-3']);
    await Promise.all(nodes.map((node) => node.linked(3)));
    const [first, second, third] = nodes as [(typeof nodes)[0], (typeof nodes)[0], (typeof nodes)[0]];
    for (const piece of pieces) first.want(blob, piece);
    for (const piece of pieces) expect(await first.decisionOn(blob, piece)).toMatchObject({ kind: 'lease' });
    for (const piece of pieces) second.want(blob, piece);
    for (const piece of pieces) first.have(blob, piece, piece + 7);
    for (const piece of pieces) {
      expect(await second.decisionOn(blob, piece)).toMatchObject({
        kind: 'take',
        blob,
        piece,
        crc32c: piece + 7,
        peers: [{ id: 'node-1', address: first.address }],
      });
    }
    expect(third.received).toEqual([]);
    expect(first.links.state).toMatchObject({ usable: 'all', dropped: 0, failures: 0 });
  });
});
