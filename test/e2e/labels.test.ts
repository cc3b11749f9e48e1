import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  createApiCertificates,
  type FakeKubernetesApi,
  kubeconfigOf,
  namespacesPath,
  startKubernetesApi,
} from '../harness/kubernetes-api.ts';
import { type E2eImage, startNode, type TestNode } from '../harness/node.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

const label = 'k8s.aliyun.com/image-accelerate-mode';

/** The seeds' contract: who is accelerated says a label, on the pod or on its namespace. */
describe('with accelerate: labelled', () => {
  const scope = new Scope();
  let api: FakeKubernetesApi;
  let node: TestNode;
  let pulls = 0;

  beforeAll(async () => {
    api = await startKubernetesApi(scope, await createApiCertificates(scope));
    api.put(namespacesPath, { metadata: { name: 'fast', labels: { [label]: 'p2p' } } });
    const kubeconfig = path.join(await temporaryFolder(scope, 'kubeconfig'), 'kubeconfig');
    await writeFile(kubeconfig, await kubeconfigOf(api));
    node = await startNode(scope, { sections: { accelerate: 'labelled', kubernetes: { kubeconfig } } });
    await api.until(() => api.watches > 0);
  });
  afterAll(() => scope.close());
  afterEach(() => node.containerd.cri.removeImage(node.image('mixed')));

  async function pullFor(namespace: string, labels: Record<string, string> = {}, name: E2eImage = 'mixed') {
    await node.agent.cri.pullImage(node.image(name), { pod: { name: 'pod', namespace, labels } });
    pulls += 1;
    return await node.agent.nthPull(pulls);
  }

  test('a labelled pod is accelerated, and the log names the label', async () => {
    const line = await pullFor('slow', { [label]: 'p2p' });
    expect(line).toMatchObject({ result: 'ok', rule: `the pod's label ${label}: p2p` });
    expect(line.bytes?.image).toBeGreaterThan(0);
  });

  test('a pod in a labelled namespace is, unless it says otherwise itself', async () => {
    await vi.waitFor(async () => {
      const { stdout } = await node.agent.shoal('explain', node.image('mixed'), '--namespace', 'fast');
      expect(stdout).toContain('would be accelerated');
    });
    expect(await pullFor('fast')).toMatchObject({
      result: 'ok',
      rule: expect.stringMatching(/^the namespace's label/),
    });
    await node.containerd.cri.removeImage(node.image('mixed'));
    expect((await pullFor('fast', { [label]: 'off' })).bytes).toBeUndefined();
  });

  test('a pod without a label is not: it is pulled from the registry, and the log says why', async () => {
    const line = await pullFor('slow');
    expect(line).toMatchObject({ result: 'ok' });
    expect(line.bytes).toBeUndefined();
    expect(JSON.stringify(line)).toContain('neither the pod nor its namespace has the label');
  });

  test('a label that is taken away counts no more', async () => {
    api.put(namespacesPath, { metadata: { name: 'fast', labels: {} } });
    await vi.waitFor(async () => {
      const { stdout } = await node.agent.shoal('explain', node.image('mixed'), '--namespace', 'fast');
      expect(stdout).toContain('would not be accelerated');
    });
    expect((await pullFor('fast')).bytes).toBeUndefined();
  });
});
