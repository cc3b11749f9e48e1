import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startNode, type TestNode } from '../harness/node.ts';
import { digestOf } from '../harness/oci-layout.ts';
import { run } from '../harness/process.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

/** Clients other than the kubelet ask the mirror itself, in the path form or as containerd's own tools do. */
describe('the mirror, without a pull session,', () => {
  const scope = new Scope();
  let node: TestNode;
  /** `127.0.0.1:<mirror>/<registry>`: how the path form names a repository. */
  let prefix: string;
  let folder: string;

  beforeAll(async () => {
    node = await startNode(scope);
    prefix = `${new URL(node.agent.mirrorUrl).host}/${node.origin.host}`;
    folder = await temporaryFolder(scope, 'clients');
  });
  afterAll(() => scope.close());
  beforeEach(() => node.origin.reset());

  /** The blobs of a folder that skopeo wrote (`dir:`), by digest. */
  async function copiedBlobs(target: string, digests: readonly string[]): Promise<void> {
    for (const digest of digests) {
      expect(digestOf(await readFile(path.join(target, digest.replace('sha256:', ''))))).toBe(digest);
    }
  }

  test.each(['layered', 'mixed', 'tiny'] as const)('gives skopeo the image "%s", layer for layer', async (name) => {
    const { blobs, layers, digest } = await node.content(name);
    const target = path.join(folder, name);
    await run(['skopeo', 'copy', '--src-tls-verify=false', `docker://${prefix}/${name}:v1`, `dir:${target}`]);
    await copiedBlobs(
      target,
      blobs.map((blob) => blob.digest).filter((blob) => blob !== digest),
    );
    for (const layer of layers) expect(node.origin.bytesOf(layer.digest)).toBe(layer.size);
  });

  test('gives skopeo an index with the images of every platform', async () => {
    const target = path.join(folder, 'all');
    const source = `docker://${prefix}/platforms:v1`;
    await run(['skopeo', 'copy', '--all', '--src-tls-verify=false', source, `dir:${target}`]);
    const { digest } = await node.content('platforms');
    expect(digestOf(await readFile(path.join(target, 'manifest.json')))).toBe(digest);
  });

  test('gives podman an image that it can store', async () => {
    const root = ['--root', path.join(folder, 'podman'), '--runroot', path.join(folder, 'podman-run')];
    const podman = ['podman', ...root, '--storage-driver', 'vfs'] as [string, ...string[]];
    const { config } = await node.content('mixed');
    const id = await run([...podman, 'pull', '--quiet', '--tls-verify=false', `${prefix}/mixed:v1`]);
    expect(id.trim()).toBe(config.replace('sha256:', ''));
    await run([...podman, 'rmi', '--all']);
  });

  test('gives a second client what the first one brought, without the registry', async () => {
    const copy = (name: string): Promise<string> =>
      run([
        'skopeo',
        'copy',
        '--src-tls-verify=false',
        `docker://${prefix}/mixed:v1`,
        `dir:${path.join(folder, name)}`,
      ]);
    await copy('first');
    node.origin.reset();
    await copy('second');
    expect(node.origin.blobBytes).toBe(0);
  });

  test("serves containerd's own pulls, such as the pause image's", async () => {
    const { layers } = await node.content('layered');
    await node.containerd.ctr('content', 'fetch', '--hosts-dir', node.containerd.certsFolder, node.image('layered'));
    const held = await node.containerd.verifiedContent();
    expect(held).toEqual(expect.arrayContaining(layers.map((layer) => layer.digest)));
    expect(node.origin.requests.filter((request) => request.userAgent.startsWith('containerd/'))).toEqual([]);
  });
});
