import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  createApiCertificates,
  eventsPath,
  type FakeKubernetesApi,
  type FakeObject,
  kubeconfigOf,
  startKubernetesApi,
} from '../harness/kubernetes-api.ts';
import { parseMetrics } from '../harness/metrics.ts';
import { fromContainerd, startNode, type TestNode } from '../harness/node.ts';
import type { RelayRequest } from '../harness/relay.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

describe('with kubernetes.events', () => {
  const scope = new Scope();
  let api: FakeKubernetesApi;
  let node: TestNode;

  beforeAll(async () => {
    api = await startKubernetesApi(scope, await createApiCertificates(scope));
    api.permissions.set('secret-token', ['create', 'patch']);
    const kubeconfig = path.join(await temporaryFolder(scope, 'kubeconfig'), 'kubeconfig');
    await writeFile(kubeconfig, await kubeconfigOf(api));
    node = await startNode(scope, { collectsByItself: false, sections: { kubernetes: { kubeconfig, events: true } } });
  });
  afterAll(() => scope.close());

  const pod = (name: string) => ({ name, namespace: 'shop' });
  const eventsOf = (name: string): FakeObject[] =>
    api
      .names(eventsPath)
      .map((key) => api.object(eventsPath, key))
      .filter((event) => event !== undefined)
      .filter(({ involvedObject }) => (involvedObject as { name: string }).name === name);

  test('the pod of a pull says where its image came from', async () => {
    await node.agent.cri.pullImage(node.image('mixed'), { pod: pod('cart-0') });
    await api.until(() => eventsOf('cart-0').length > 0);
    expect(eventsOf('cart-0')).toMatchObject([
      {
        involvedObject: { kind: 'Pod', namespace: 'shop', name: 'cart-0', uid: 'shop-cart-0' },
        type: 'Normal',
        reason: 'ShoalPulled',
        message: expect.stringMatching(
          /^Pulled [\d.]+ MiB in [\d.]+ m?s: 100 % from the registry\. Image: 127\.0\.0\.1:\d+\/mixed:v1$/,
        ),
      },
    ]);
    await node.containerd.cri.removeImage(node.image('mixed'));
    await node.agent.cri.pullImage(node.image('mixed'), { pod: pod('cart-1') });
    await api.until(() => eventsOf('cart-1').length > 0);
    expect(eventsOf('cart-1')).toMatchObject([{ message: expect.stringContaining("100 % from this node's cache") }]);
  });

  test('a pull without a pod, and one that brought nothing, leave none', async () => {
    const before = api.requests.length;
    await node.agent.cri.pullImage(node.image('mixed'));
    await node.agent.cri.pullImage(node.image('mixed'), { pod: pod('idle') });
    await node.agent.nthPull(4);
    expect(api.requests).toHaveLength(before);
  });

  test('a pod is warned when Shoal was in the way', async () => {
    const victim = (await node.content('layered')).layers[0]?.digest;
    node.origin.rule = ({ method, reference }) =>
      method === 'GET' && reference === victim ? { kind: 'flip', at: 0 } : undefined;
    await expect(node.agent.cri.pullImage(node.image('layered'), { pod: pod('cart-2') })).rejects.toThrow();
    await api.until(() => eventsOf('cart-2').length > 0);
    expect(eventsOf('cart-2')).toMatchObject([
      {
        type: 'Warning',
        reason: 'ShoalFellBack',
        message: expect.stringMatching(
          /^Pulled again without Shoal, which failed, too, .*Cause: .*bytes are not what the digest says/,
        ),
      },
    ]);
  });

  test('a pod is told when the engine dies under its pull, and so is who lists the pulls', async () => {
    const { agent, origin } = node;
    const victim = (await node.content('layered')).layers[0]?.digest;
    const isVictim = ({ method, reference }: RelayRequest) => method === 'GET' && reference === victim;
    origin.reset();
    const gate = Promise.withResolvers<void>();
    // The one that Shoal asks for; containerd's own goes through.
    origin.rule = (request) =>
      isVictim(request) && !fromContainerd(request) ? { kind: 'hold', after: 300_000, until: gate.promise } : undefined;
    const pulled = agent.cri.pullImage(node.image('layered'), { pod: pod('cart-3') });
    await origin.reached(isVictim, 300_000);
    process.kill(await agent.enginePid(), 'SIGKILL');
    gate.resolve();
    await pulled;
    await api.until(() => eventsOf('cart-3').length > 0);
    expect(eventsOf('cart-3')).toMatchObject([
      {
        type: 'Warning',
        reason: 'ShoalFellBack',
        message: expect.stringMatching(
          /^Pulled (on|again) without Shoal, which succeeded after .* Cause: Shoal's engine went away during the pull \(it ended with signal SIGKILL\)\. Image: /,
        ),
      },
    ]);
    const { stdout } = await agent.shoal('pulls', '--output', 'json');
    expect(JSON.parse(stdout)).toMatchObject([
      { state: 'ok', pod: pod('cart-3'), cause: expect.stringContaining('SIGKILL') },
    ]);
    expect((await agent.shoal('pulls', 'explain', '1')).stdout).toContain("Shoal's engine went away during the pull");
  });

  test('the metrics count them', async () => {
    // Of the engine that runs: the one before it had its own.
    const page = await (await fetch(`${node.agent.telemetryUrl}/metrics`)).text();
    expect(parseMetrics(page).value('shoal_kubernetes_events_total', { result: 'written' })).toBe(1);
    expect(parseMetrics(page).value('shoal_kubernetes_events_total', { result: 'lost' })).toBe(0);
  });
});
