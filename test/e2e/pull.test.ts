import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { configureRuntime } from '../harness/agent.ts';
import { type Containerd, startContainerd } from '../harness/containerd.ts';
import type { ImageContent } from '../harness/image-registry.ts';
import { fromContainerd, startNode, type TestNode } from '../harness/node.ts';
import { Scope } from '../harness/scope.ts';

/** Kubelet's PullImage through Shoal, real containerd and real registry, nothing going wrong. */
describe('a pull through Shoal', () => {
  const scope = new Scope();
  let node: TestNode;
  /** Pulls without Shoal: what an image has to look like. */
  let direct: Containerd;

  beforeAll(async () => {
    node = await startNode(scope, { memoryTier: 768 * 1024 * 1024 });
    direct = await startContainerd(scope);
  });
  afterAll(() => scope.close());

  beforeEach(() => node.origin.reset());
  afterEach(async () => {
    for (const containerd of [node.containerd, direct]) {
      for (const image of await containerd.cri.listImages()) await containerd.cri.removeImage(image.id);
    }
  });

  const digests = (content: ImageContent): string[] => content.blobs.map((blob) => blob.digest).sort();

  test.each(['layered', 'mixed', 'platforms', 'large'] as const)(
    'brings the image "%s" whole, each of its bytes once from the registry',
    async (name) => {
      const content = await node.content(name);
      const reference = await node.agent.cri.pullImage(node.image(name));
      expect(await node.containerd.verifiedContent()).toEqual(digests(content));
      for (const blob of content.layers) expect(node.origin.bytesOf(blob.digest)).toBe(blob.size);
      expect(node.origin.requests.filter(fromContainerd)).toEqual([]);
      expect(reference).toBe(content.config);
    },
  );

  test.each(['layered', 'mixed', 'platforms'] as const)(
    'unpacks the image "%s" to the very file system of a pull without Shoal',
    async (name) => {
      await node.agent.cri.pullImage(node.image(name));
      await direct.cri.pullImage(node.image(name));
      const entries = await node.containerd.rootFileSystem(node.image(name));
      expect(entries.length).toBeGreaterThan(50);
      expect(entries).toEqual(await direct.rootFileSystem(node.image(name)));
    },
  );

  test('takes the layers of an image that was pulled before from the cache', async () => {
    const content = await node.content('layered');
    await node.agent.cri.pullImage(node.image('layered'));
    await node.agent.cri.removeImage(node.image('layered'));
    node.origin.reset();
    await node.agent.cri.pullImage(node.image('layered'));
    expect(await node.containerd.verifiedContent()).toEqual(digests(content));
    expect(node.origin.blobBytes).toBe(0);
    // The registry is asked all the same whether this pod may have the image.
    expect(node.origin.requests.some((request) => request.kind === 'manifest')).toBe(true);
  });

  test('by digest brings the same image as by tag', async () => {
    const content = await node.content('mixed');
    const reference = `${node.origin.host}/mixed@${content.digest}`;
    await node.agent.cri.pullImage(reference);
    expect(await node.containerd.verifiedContent()).toEqual(digests(content));
    const status = await node.agent.cri.imageStatus(reference);
    expect(status?.repo_digests).toEqual([reference]);
  });

  test('of a tag that does not exist fails with NotFound, as without Shoal', async () => {
    const missing = `${node.origin.host}/layered:missing`;
    const codeOf = (error: unknown): unknown => (error as { code?: unknown }).code;
    const through = await node.agent.cri.pullImage(missing).catch(codeOf);
    expect(through).toBe(await direct.cri.pullImage(missing).catch(codeOf));
    expect(through).toBe(5);
  });
});

describe('pulls of one image at the same time', () => {
  const scope = new Scope();
  afterAll(() => scope.close());

  test('share one download, also between two runtimes', async () => {
    const node = await startNode(scope);
    const second = await startContainerd(scope);
    await configureRuntime(node.agent, second);
    const content = await node.content('layered');
    await Promise.all([
      node.agent.cri.pullImage(node.image('layered')),
      node.agent.cri.pullImage(node.image('layered')),
      second.cri.pullImage(node.image('layered')),
    ]);
    for (const containerd of [node.containerd, second]) {
      expect(await containerd.verifiedContent()).toEqual(content.blobs.map((blob) => blob.digest).sort());
    }
    for (const blob of content.layers) expect(node.origin.bytesOf(blob.digest)).toBe(blob.size);
  });
});
