import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { CriAuth } from '../harness/cri-client.ts';
import { fromContainerd, startNode, type TestNode } from '../harness/node.ts';
import type { RegistryAuth } from '../harness/registry.ts';
import { Scope } from '../harness/scope.ts';
import { startTokenServer } from '../harness/token-server.ts';

const right: CriAuth = { username: 'alice', password: 'correct horse' };
const wrong: CriAuth = { username: 'alice', password: 'battery staple' };
const encoded: CriAuth = { auth: Buffer.from('alice:correct horse').toString('base64') };
const stranger: CriAuth = { username: 'bob', password: 'of another repository' };

async function htpasswd(): Promise<RegistryAuth> {
  return { htpasswd: { alice: 'correct horse' } };
}

async function token(scope: Scope): Promise<RegistryAuth> {
  const users = {
    alice: { password: 'correct horse', rights: { mixed: ['pull'] } },
    bob: { password: 'of another repository', rights: { layered: ['pull'] } },
  };
  return (await startTokenServer(scope, { users })).auth;
}

/** A node's cache must not become a way round pull secrets. */
describe.each([
  ['htpasswd', htpasswd],
  ['a token server', token],
] as const)('an image of a registry behind %s', (_name, auth) => {
  const scope = new Scope();
  let node: TestNode;
  let image: string;

  beforeAll(async () => {
    node = await startNode(scope, { auth: await auth(scope) });
    image = node.image('mixed');
  });
  afterAll(() => scope.close());
  beforeEach(() => node.origin.reset());
  afterEach(() => node.containerd.cri.removeImage(image));

  test.each([
    ['no credentials', {}],
    ['a wrong password', wrong],
    ['credentials that hold elsewhere', stranger],
  ])('is refused to a pod with %s', async (_what, credentials) => {
    await expect(node.agent.cri.pullImage(image, { auth: credentials })).rejects.toThrow();
    expect(node.origin.blobBytes).toBe(0);
    expect(await node.containerd.verifiedContent()).toEqual([]);
  });

  test.each([
    ['user name and password', right],
    ['the encoded form', encoded],
  ])('comes through Shoal for the right credentials: %s', async (_what, credentials) => {
    const content = await node.content('mixed');
    await node.agent.cri.pullImage(image, { auth: credentials });
    expect(await node.containerd.verifiedContent()).toEqual(content.blobs.map((blob) => blob.digest).sort());
    expect(node.origin.requests.filter((request) => fromContainerd(request) && request.kind === 'blob')).toEqual([]);
  });

  test.each([
    ['no credentials', {}],
    ['a wrong password', wrong],
    ['credentials that hold elsewhere', stranger],
  ])('is refused to a pod with %s though the node has every byte', async (_what, credentials) => {
    await node.agent.cri.pullImage(image, { auth: right });
    await node.agent.cri.removeImage(image);
    node.origin.reset();
    await expect(node.agent.cri.pullImage(image, { auth: credentials })).rejects.toThrow();
    expect(await node.containerd.verifiedContent()).toEqual([]);
    // And the bytes were there: the right credentials get them without the registry's blobs.
    await node.agent.cri.pullImage(image, { auth: right });
    expect(node.origin.blobBytes).toBe(0);
  });

  test('is not lent by a pull with credentials to a pull without them at the same time', async () => {
    const layer = (await node.content('mixed')).layers[0]?.digest;
    await node.agent.restart();
    const gate = Promise.withResolvers<void>();
    node.origin.rule = (request) =>
      request.reference === layer ? { kind: 'hold', after: 1000, until: gate.promise } : undefined;
    const rightful = node.agent.cri.pullImage(image, { auth: right });
    try {
      await node.origin.reached((request) => request.reference === layer, 1000);
      await expect(node.agent.cri.pullImage(image, { auth: wrong })).rejects.toThrow();
    } finally {
      node.origin.rule = undefined;
      gate.resolve();
    }
    await rightful;
  });
});
