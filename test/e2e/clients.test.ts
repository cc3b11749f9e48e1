import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type E2eImage, startNode, type TestNode } from '../harness/node.ts';
import { digestOf } from '../harness/oci-layout.ts';
import { run } from '../harness/process.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

/** Clients other than the kubelet ask the mirror itself, in the path form or as containerd's own tools do. */
describe('the mirror, without a pull session,', () => {
  const scope = new Scope();
  let node: TestNode;
  let folder: string;
  /** What `shoal runtime configure` wrote: instead of the machine's own registries.conf. */
  let registriesConf: string;

  beforeAll(async () => {
    node = await startNode(scope);
    folder = await temporaryFolder(scope, 'clients');
    const options = ['--root', folder, '--registry', node.origin.host];
    const configured = await node.agent.shoal('runtime', 'configure', '--runtime', 'podman', ...options);
    expect(configured).toMatchObject({ code: 0, stderr: '' });
    registriesConf = path.join(folder, 'etc/containers/registries.conf.d/shoal.conf');
  });
  afterAll(() => scope.close());
  beforeEach(() => node.origin.reset());

  /** Copies an image to a folder of that name, by the mirror alone: the registry speaks http, which skopeo would refuse. */
  async function skopeo(image: E2eImage, name: string, ...options: string[]): Promise<string> {
    const target = path.join(folder, name);
    const source = `docker://${node.image(image)}`;
    await run(['skopeo', '--registries-conf', registriesConf, 'copy', ...options, source, `dir:${target}`]);
    return target;
  }

  /** The blobs of a folder that skopeo wrote (`dir:`), by digest. */
  async function copiedBlobs(target: string, digests: readonly string[]): Promise<void> {
    for (const digest of digests) {
      expect(digestOf(await readFile(path.join(target, digest.replace('sha256:', ''))))).toBe(digest);
    }
  }

  test.each(['layered', 'mixed', 'tiny'] as const)('gives skopeo the image "%s", layer for layer', async (name) => {
    const { blobs, layers, digest } = await node.content(name);
    const target = await skopeo(name, name);
    await copiedBlobs(
      target,
      blobs.map((blob) => blob.digest).filter((blob) => blob !== digest),
    );
    for (const layer of layers) expect(node.origin.bytesOf(layer.digest)).toBe(layer.size);
  });

  test('gives skopeo an index with the images of every platform', async () => {
    const target = await skopeo('platforms', 'all', '--all');
    const { digest } = await node.content('platforms');
    expect(digestOf(await readFile(path.join(target, 'manifest.json')))).toBe(digest);
  });

  test('gives podman an image that it can store', async () => {
    const root = ['--root', path.join(folder, 'podman'), '--runroot', path.join(folder, 'podman-run')];
    const podman = ['podman', ...root, '--storage-driver', 'vfs'] as [string, ...string[]];
    const { config } = await node.content('mixed');
    const env = { CONTAINERS_REGISTRIES_CONF: registriesConf };
    const id = await run([...podman, 'pull', '--quiet', node.image('mixed')], { env });
    expect(id.trim()).toBe(config.replace('sha256:', ''));
    await run([...podman, 'rmi', '--all']);
  });

  test('gives a second client what the first one brought, without the registry', async () => {
    await skopeo('mixed', 'first');
    node.origin.reset();
    await skopeo('mixed', 'second');
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
