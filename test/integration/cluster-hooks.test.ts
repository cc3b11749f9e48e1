import { X509Certificate } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { entry } from '../harness/entry.ts';
import { daemonSetsPath, type FakeKubernetesApi, podsPath, secretsPath, type Verb } from '../harness/kubernetes-api.ts';
import { kubernetesForEachTest } from '../harness/kubernetes-for-each-test.ts';
import { type RunResult, runAnyway } from '../harness/process.ts';
import type { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

/** The commands of the chart's hooks, against an API that grants no more than the chart's roles do. */

let scope: Scope;
let api: FakeKubernetesApi;
let kubeconfig: string;

kubernetesForEachTest(async (started) => {
  ({ scope, api } = started);
  kubeconfig = path.join(await temporaryFolder(scope, 'kubeconfig'), 'config');
  const cluster = { server: api.url, 'certificate-authority': api.authority.certificateFile };
  const config = {
    'current-context': 'a',
    clusters: [{ name: 'a', cluster }],
    users: [{ name: 'a', user: { token: 'job' } }],
    contexts: [{ name: 'a', context: { cluster: 'a', user: 'a' } }],
  };
  await writeFile(kubeconfig, stringify(config));
});

const grant = (...verbs: Verb[]): unknown => api.permissions.set('job', verbs);
const shoal = (...args: string[]): Promise<RunResult> =>
  runAnyway([process.execPath, entry, ...args, '--namespace', 'shoal', '--kubeconfig', kubeconfig]);
const pod = (name: string, state: string, ready: boolean) => ({
  metadata: { name, labels: { app: 'shoal', 'shoal-node': state } },
  spec: { nodeName: name.replace('pod', 'node') },
  status: { conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
});

describe('shoal certs init --secret', () => {
  const init = () => shoal('certs', 'init', '--secret', 'authority');

  test('creates the authority once, with the right to create alone', async () => {
    grant('create');
    expect(await init()).toMatchObject({ code: 0, stdout: 'created the secret shoal/authority\n' });
    const made = api.object(secretsPath, 'authority');
    const data = made?.data as Record<string, string>;
    const certificate = new X509Certificate(Buffer.from(data['ca.crt'] ?? '', 'base64'));
    expect(certificate.ca).toBe(true);
    expect(Buffer.from(data['ca.key'] ?? '', 'base64').toString()).toContain('BEGIN PRIVATE KEY');

    expect(await init()).toMatchObject({ code: 0, stdout: 'kept the secret shoal/authority\n' });
    expect(api.object(secretsPath, 'authority')).toEqual(made);
  });

  test('says what right is missing', async () => {
    grant('list');
    const { code, stderr } = await init();
    expect(code).toBe(1);
    expect(stderr).toMatch(/^shoal: create secrets in namespace shoal at .*: 403 .*grant it by RBAC/);
  });
});

describe('shoal nodes leave', () => {
  const daemonSet = (observedGeneration: number, available: number) => ({
    metadata: { name: 'agent', generation: 2 },
    spec: { selector: { matchLabels: { app: 'shoal' } }, template: { metadata: { labels: { app: 'shoal' } } } },
    status: {
      observedGeneration,
      desiredNumberScheduled: 2,
      updatedNumberScheduled: available,
      numberAvailable: available,
    },
  });
  const leave = (timeout: number) => shoal('nodes', 'leave', '--daemonset', 'agent', '--timeout', String(timeout));

  test('changes the label of the pods, all at once, and waits until every node is done', async () => {
    grant('get', 'patch', 'list');
    api.put(daemonSetsPath, daemonSet(1, 2));
    const left = leave(60);
    await api.until(() => api.requests.some(({ verb, status }) => verb === 'get' && status === 200));
    const spec = api.object(daemonSetsPath, 'agent')?.spec;
    expect(spec).toMatchObject({
      updateStrategy: { rollingUpdate: { maxUnavailable: '100%' } },
      template: { metadata: { labels: { app: 'shoal', 'shoal-node': 'removed' } } },
    });
    api.put(daemonSetsPath, daemonSet(2, 2));
    const { code, stdout, stderr } = await left;
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'done: 2 nodes\n' });
    expect(stderr).toMatch(/2 of 2 nodes are back to plain pulls\n$/);
  });

  test('names the nodes that did not answer in time', async () => {
    grant('get', 'patch', 'list');
    api.put(daemonSetsPath, daemonSet(2, 1));
    api.put(podsPath, pod('pod-1', 'removed', true));
    api.put(podsPath, pod('pod-2', 'removed', false));
    api.put(podsPath, pod('pod-3', 'installed', true));
    api.put(podsPath, { metadata: { name: 'other' } });
    const { code, stderr } = await leave(1);
    expect(code).toBe(1);
    expect(stderr).toMatch(/shoal: not every node is back to plain pulls after 1 s: node-2, node-3\. .*--no-hooks/);
  });

  test('has nothing to do without the DaemonSet', async () => {
    grant('get', 'patch');
    expect(await leave(60)).toMatchObject({ code: 0, stdout: 'done: 0 nodes\n' });
  });

  test('goes on while the API is away for a moment', async () => {
    grant('get', 'patch');
    api.put(daemonSetsPath, daemonSet(2, 2));
    let refused = 0;
    api.intercept = ({ verb }, response) => {
      if (verb !== 'get' || refused++ > 0) return false;
      response.writeHead(503).end();
      return true;
    };
    expect(await leave(60)).toMatchObject({ code: 0 });
    expect(refused).toBeGreaterThan(1);
  });

  test('fails at once without the right to it', async () => {
    grant('get');
    api.put(daemonSetsPath, daemonSet(1, 2));
    const { code, stderr } = await leave(60);
    expect(code).toBe(1);
    expect(stderr).toContain('patch daemonsets.apps in namespace shoal');
  });
});
