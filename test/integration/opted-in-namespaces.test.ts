import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { createKubernetesClient } from '../../src/kubernetes/client.ts';
import { defaultTimes } from '../../src/kubernetes/informer.ts';
import { OptedInNamespaces } from '../../src/kubernetes/opted-in.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { type FakeKubernetesApi, namespacesPath } from '../harness/kubernetes-api.ts';
import { kubernetesForEachTest } from '../harness/kubernetes-for-each-test.ts';
import type { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

const logger = createLogger({ name: 'test', level: 'silent' });
const label = 'k8s.aliyun.com/image-accelerate-mode';
let scope: Scope;
let api: FakeKubernetesApi;
let stateDir: string;

kubernetesForEachTest(async (started) => {
  ({ scope, api } = started);
  stateDir = await temporaryFolder(scope, 'namespaces');
});

const namespace = (name: string, mode?: string) => ({
  metadata: { name, labels: mode === undefined ? {} : { [label]: mode } },
});

async function watch(): Promise<OptedInNamespaces> {
  const names = await OptedInNamespaces.start({
    client: createKubernetesClient(() => api.access()),
    label,
    value: 'p2p',
    stateDir,
    logger,
    times: { ...defaultTimes, healthyMs: 0, firstWaitMs: 5, longestWaitMs: 20 },
  });
  scope.defer(() => names.close());
  return names;
}

describe('namespaces that opt in', () => {
  test('are known by their label, and followed while it comes and goes', async () => {
    api.put(namespacesPath, namespace('fast', 'p2p'));
    api.put(namespacesPath, namespace('slow'));
    api.put(namespacesPath, namespace('odd', 'other'));
    const names = await watch();
    await names.firstAnswer;
    expect(['fast', 'slow', 'odd'].map((name) => names.optsIn(name))).toEqual([true, false, false]);
    expect(names.failure()).toBeUndefined();
    api.put(namespacesPath, namespace('slow', 'p2p'));
    api.put(namespacesPath, namespace('fast'));
    await vi.waitFor(() => expect(['fast', 'slow'].map((name) => names.optsIn(name))).toEqual([false, true]));
  });

  test('are those of before while the API is away, also after a restart', async () => {
    api.put(namespacesPath, namespace('fast', 'p2p'));
    const before = await watch();
    await before.firstAnswer;
    await before.close();
    api.intercept = (_request, response) => {
      response.writeHead(503).end();
      return true;
    };
    const after = await watch();
    expect(after.optsIn('fast')).toBe(true);
    expect(after.failure()).toBeDefined();
  });

  test('are none, and nobody waits, where the API has never answered or the file is damaged', async () => {
    await writeFile(path.join(stateDir, 'namespaces.json'), '{"format":1,"label":');
    api.intercept = (_request, response) => {
      response.writeHead(403).end();
      return true;
    };
    const names = await watch();
    expect(names.optsIn('fast')).toBe(false);
    expect(names.failure()).toBeDefined();
  });
});
