import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Placement } from '../../src/swarm/placement.ts';
import { type DirectoryNode, DirectoryNodes, type NodeOptions } from '../harness/directory-nodes.ts';
import { freePort } from '../harness/ports.ts';
import { Scope } from '../harness/scope.ts';
import { SwarmAuthority } from '../harness/swarm-certificates.ts';
import { waitFor } from '../harness/wait.ts';
import { openWire } from '../harness/wire.ts';

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

/** The pieces whose shard is on `id`, when these are the members. */
function piecesOf(id: string, members: readonly string[]): number[] {
  const placement = new Placement(members.map((member) => ({ id: member, scheduler: false }))).blob(blob);
  return pieces.filter((piece) => placement.shardOf(piece) === id);
}

async function startThree(options: NodeOptions = {}): Promise<[DirectoryNode, DirectoryNode, DirectoryNode]> {
  const [first, second, third] = await swarm.start(['node-1', 'node-2', 'node-3'], options);
  if (first === undefined || second === undefined || third === undefined) throw new Error('three were asked for');
  await Promise.all([first, second, third].map((node) => node.linked(3)));
  return [first, second, third];
}

describe.each(['plain', 'with mutual TLS'])('nodes that know each other, %s,', (how) => {
  async function start(ids: readonly string[]): Promise<DirectoryNode[]> {
    if (how === 'plain') return swarm.start(ids);
    const authority = await SwarmAuthority.create(scope);
    const all = await Promise.all(ids.map(async (id) => [id, await authority.issue(id)] as const));
    const nodes: DirectoryNode[] = [];
    for (const [id, certificates] of all) {
      nodes.push(...(await swarm.start([id], { security: { kind: 'tls', certificates } })));
    }
    return nodes;
  }

  test('have one lease for each piece between them, and the others take it from who has it', async () => {
    const [first, second, third] = await start(['node-1', 'node-2', 'node-3']);
    if (first === undefined || second === undefined || third === undefined) throw new Error('three were asked for');
    await Promise.all([first, second, third].map((node) => node.linked(3)));
    for (const piece of pieces) first.want(blob, piece);
    for (const piece of pieces) expect(await first.decisionOn(blob, piece)).toMatchObject({ kind: 'lease' });
    for (const piece of pieces) second.want(blob, piece);
    for (const piece of pieces) first.have(blob, piece, piece + 7);
    for (const piece of pieces) {
      expect(await second.decisionOn(blob, piece)).toMatchObject({
        kind: 'take',
        crc32c: piece + 7,
        peers: [{ id: 'node-1', address: first.address }],
      });
    }
    expect(third.received).toEqual([]);
    expect(first.links.state).toMatchObject({ usable: 'all', shards: 3, linked: 3 });
  });
});

describe('the links of an agent', () => {
  test('are of use at once where the node is alone: it has a shard itself', async () => {
    const [node] = await swarm.start(['node-1']);
    await node?.linked(1);
    node?.want(blob, 0);
    expect(await node?.decisionOn(blob, 0)).toMatchObject({ kind: 'lease' });
  });

  test('tell every shard how many uploads the agent serves from now on', async () => {
    const [first] = await startThree();
    first.links.update({ slots: 3 });
    // An update breaks no stream: all go on to answer.
    for (const piece of pieces) first.want(blob, piece);
    for (const piece of pieces) await first.decisionOn(blob, piece);
    expect(first.links.state.failures).toBe(0);
  });

  test('tell a spoiled blob to all shards: each has some of its pieces', async () => {
    const [first, second] = await startThree();
    const { sent } = first.links.state;
    first.links.say({ kind: 'spoiled', blob });
    expect(first.links.state.sent - sent).toBe(3);
    // The first to say so is on its own.
    for (const piece of pieces) first.want(blob, piece);
    for (const piece of pieces) expect(await first.decisionOn(blob, piece)).toMatchObject({ kind: 'alone' });
    second.want(blob, 0);
    expect(await second.decisionOn(blob, 0)).toMatchObject({ kind: 'lease' });
  });

  test('end with it: the shards forget the agent at once', async () => {
    const [first, second, third] = await startThree();
    expect(second.host.stat.agents).toBe(3);
    await first.links.close();
    for (const { host } of [first, second, third]) {
      await waitFor(() => host.stat.agents === 2, { what: 'the end of the attendance' });
    }
    first.links.say({ kind: 'spoiled', blob });
    expect(second.links.state.failures).toBe(0);
  });
});

describe('when a shard dies', () => {
  test('its pieces are asked for elsewhere, and when it is back it learns what is held', async () => {
    const [first, second, third] = await startThree();
    for (const piece of pieces) first.have(blob, piece);
    const changes: string[] = [];
    second.links.onChange(() => changes.push(second.links.state.usable));
    await third.kill();
    await Promise.all([first.suspects('node-3'), second.suspects('node-3')]);
    await Promise.all([first.linked(2), second.linked(2)]);
    await waitFor(() => first.host.stat.pieces + second.host.stat.pieces === pieces.length, {
      what: 'what is held to be announced elsewhere',
    });
    for (const piece of pieces) second.want(blob, piece);
    for (const piece of pieces) expect(await second.decisionOn(blob, piece)).toMatchObject({ kind: 'take' });
    for (const piece of pieces) second.have(blob, piece);

    await third.revive();
    await Promise.all([first.linked(3), second.linked(3)]);
    const share = piecesOf('node-3', ['node-1', 'node-2', 'node-3']);
    expect(share.length).toBeGreaterThan(0);
    await waitFor(() => third.host.stat.pieces === share.length, { what: 'what is held to be announced' });
    // Nobody asks the interim shards any more, and they know it.
    await waitFor(() => first.host.stat.pieces + second.host.stat.pieces === pieces.length - share.length, {
      what: 'the former shards to forget',
    });
    expect(changes.at(-1)).toBe('all');
  });

  test('whoever waited for its word asks the next one, without doing anything about it', async () => {
    const [first, second, third] = await startThree();
    const share = piecesOf('node-3', ['node-1', 'node-2', 'node-3']);
    for (const piece of share) first.want(blob, piece);
    for (const piece of share) await first.decisionOn(blob, piece);
    for (const piece of share) second.want(blob, piece);
    await third.kill();
    for (const piece of share) expect(await second.decisionOn(blob, piece)).toMatchObject({ kind: 'lease' });
  });
});

test('a shard whose node is much slower than the others leaves its share to them, with what is held of it', async () => {
  const [first, second, third] = await startThree();
  for (const piece of pieces) first.have(blob, piece);
  for (const quick of [first, second]) quick.links.update({ pace: 24 });
  third.links.update({ pace: 20 });
  await Promise.all([first, second, third].map((node) => node.linked(2)));
  const ofThird = piecesOf('node-3', ['node-1', 'node-2', 'node-3']);
  for (const piece of ofThird) second.want(blob, piece);
  for (const piece of ofThird) {
    expect(await second.decisionOn(blob, piece)).toMatchObject({ kind: 'take', peers: [{ id: 'node-1' }] });
  }
  // Who comes later is told, too.
  const [fourth] = await swarm.start(['node-4']);
  await fourth?.linked(3);
  fourth?.want(blob, ofThird[0] ?? 0);
  expect(await fourth?.decisionOn(blob, ofThird[0] ?? 0)).toMatchObject({ kind: 'take' });
});

test('nodes that start one after the other find each other once the later one speaks, whenever the next probe is due', async () => {
  const port = await freePort();
  swarm.members.push({ id: 'node-2', address: `127.0.0.1:${port}`, zone: '', role: 'agent' });
  const [first] = await swarm.start(['node-1'], { firstProbeMs: 3_600_000 });
  await first?.suspects('node-2');
  await first?.linked(1);
  const [second] = await swarm.start(['node-2'], { port });
  await Promise.all([first?.linked(2), second?.linked(2)]);
});

test('a node that joins takes its share over, and what is held of it is told there', async () => {
  const [first, second, third] = await startThree();
  for (const piece of pieces) first.have(blob, piece);
  await waitFor(() => [first, second, third].reduce((sum, { host }) => sum + host.stat.pieces, 0) === pieces.length, {
    what: 'the announcements',
  });
  const [fourth] = await swarm.start(['node-4']);
  const share = piecesOf('node-4', ['node-1', 'node-2', 'node-3', 'node-4']);
  expect(share.length).toBeGreaterThan(0);
  await waitFor(() => fourth?.host.stat.pieces === share.length, { what: 'the announcements at the new shard' });
  const former = [first, second, third];
  await waitFor(() => former.reduce((sum, { host }) => sum + host.stat.pieces, 0) === pieces.length - share.length, {
    what: 'the former shards to forget',
  });
});

describe('a shard that says nothing', () => {
  test('from the beginning is given up after the time to connect, and its share is asked for elsewhere', async () => {
    const sockets: Socket[] = [];
    const mute = createServer((socket) => sockets.push(socket));
    mute.listen(0, '127.0.0.1');
    await once(mute, 'listening');
    scope.defer(() => {
      for (const socket of sockets) socket.destroy();
      mute.close();
    });
    const { port } = mute.address() as { port: number };
    swarm.members.push({ id: 'mute', address: `127.0.0.1:${port}`, zone: '', role: 'agent' });
    const [node] = await swarm.start(['node-1'], { connectTimeoutMs: 300 });
    if (node === undefined) throw new Error('one was asked for');
    const share = piecesOf('mute', ['node-1', 'mute']);
    for (const piece of share) node.want(blob, piece);
    for (const piece of share) expect(await node.decisionOn(blob, piece)).toMatchObject({ kind: 'lease' });
    expect(node.membership.reachable().map(({ id }) => id)).toEqual(['node-1']);
    expect(node.links.state).toMatchObject({ usable: 'all', shards: 1, linked: 1 });
  });

  test('any more is noticed, and is back once it speaks', async () => {
    const [first, second, third] = await startThree({ silenceMs: 400, connectTimeoutMs: 1_000 });
    const wire = await openWire(scope, third.address);
    swarm.reroute('node-3', wire.address);
    await waitFor(() => wire.connections >= 2, { what: 'the links over the wire' });
    await Promise.all([first.linked(3), second.linked(3)]);
    wire.freeze();
    await Promise.all([first.suspects('node-3'), second.suspects('node-3')]);
    await Promise.all([first.linked(2), second.linked(2)]);
    const share = piecesOf('node-3', ['node-1', 'node-2', 'node-3']);
    for (const piece of share) first.want(blob, piece);
    for (const piece of share) expect(await first.decisionOn(blob, piece)).toMatchObject({ kind: 'lease' });
    wire.thaw();
    await Promise.all([first.linked(3), second.linked(3)]);
  });
});

describe('with schedulers', () => {
  test('agents host no shard, and without a scheduler within reach there is no directory', async () => {
    const [scheduler] = await swarm.start(['scheduler-1'], { role: 'scheduler' });
    const [agent, other] = await swarm.start(['node-1', 'node-2']);
    if (scheduler === undefined || agent === undefined || other === undefined) throw new Error('three were asked for');
    await Promise.all([agent.linked(1), other.linked(1)]);
    for (const piece of pieces) agent.have(blob, piece);
    await waitFor(() => scheduler.host.stat.pieces === pieces.length, { what: 'the announcements' });
    expect(agent.host.stat.agents + other.host.stat.agents).toBe(0);
    const changed = new Promise<void>((resolve) => agent.links.onChange(resolve));
    await scheduler.kill();
    await changed;
    await waitFor(() => agent.links.state.usable === 'none', { what: 'the end of the directory' });
    await waitFor(() => agent.links.state.shards === 0, { what: 'the end of the shards' });
  });
});

describe('with certificates', () => {
  test('a node whose certificate does not name it is linked to nobody, and a shard that poses as another to none', async () => {
    const authority = await SwarmAuthority.create(scope);
    const [own, wrong] = await Promise.all([authority.issue('node-1'), authority.issue('somebody', ['10.0.0.9'])]);
    const [honest] = await swarm.start(['node-1'], { security: { kind: 'tls', certificates: own } });
    const [impostor] = await swarm.start(['node-2'], { security: { kind: 'tls', certificates: wrong } });
    if (honest === undefined || impostor === undefined) throw new Error('two were asked for');
    await Promise.all([honest.suspects('node-2'), impostor.suspects('node-1')]);
    await waitFor(() => honest.server.stat().refused > 0, { what: 'the refusal' });
    expect(honest.host.stat.agents).toBe(1);
    expect(impostor.host.stat.agents).toBe(1);
  });
});

test('64 shards: an agent attends to each, and every piece has its place', async () => {
  const hosts = Array.from({ length: 70 }, (_, index) => `host-${index}`);
  await swarm.start(hosts, { links: false });
  const [first, second] = await swarm.start(['node-1', 'node-2']);
  if (first === undefined || second === undefined) throw new Error('two were asked for');
  await Promise.all([first.linked(64), second.linked(64)]);
  const many = Array.from({ length: 512 }, (_, bucket) => bucket * 32);
  for (const piece of many) first.have(blob, piece);
  for (const piece of many) second.want(blob, piece);
  for (const piece of many) {
    const decision = await second.decisionOn(blob, piece);
    // A holder has few takes under way; who leases meanwhile is told so.
    expect(['take', 'lease']).toContain(decision.kind);
  }
  expect(second.links.state).toMatchObject({ usable: 'all', dropped: 0, failures: 0 });
});
