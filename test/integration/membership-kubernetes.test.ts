import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { membershipSchema } from '../../src/config/membership.ts';
import type { AccessSource } from '../../src/kubernetes/access.ts';
import { createKubernetesClient } from '../../src/kubernetes/client.ts';
import { defaultTimes } from '../../src/kubernetes/informer.ts';
import { kubeconfigAccess } from '../../src/kubernetes/kubeconfig.ts';
import { serviceAccountAccess } from '../../src/kubernetes/service-account.ts';
import { createMembership } from '../../src/swarm/membership/config.ts';
import { KubernetesSource } from '../../src/swarm/membership/kubernetes.ts';
import { startMembership } from '../../src/swarm/membership/membership.ts';
import type { Membership } from '../../src/swarm/membership/types.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { endpointSlicesPath, type FakeKubernetesApi } from '../harness/kubernetes-api.ts';
import { kubernetesForEachTest } from '../harness/kubernetes-for-each-test.ts';
import type { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

const logger = createLogger({ name: 'test', level: 'silent' });
let scope: Scope;
let api: FakeKubernetesApi;

kubernetesForEachTest((started) => {
  ({ scope, api } = started);
});

/** A slice as the EndpointSlice controller makes it: labels of the Service, an endpoint per node. */
function slice(name: string, nodes: readonly string[], component = 'agent') {
  const labels = { 'app.kubernetes.io/name': 'shoal', 'app.kubernetes.io/component': component };
  return {
    metadata: { name, namespace: 'shoal', labels: { ...labels, 'kubernetes.io/service-name': 'shoal' } },
    addressType: 'IPv4',
    ports: [{ name: 'p2p', port: 65001, protocol: 'TCP' }],
    endpoints: nodes.map((node) => ({
      addresses: [`192.0.2.${node.slice(1)}`],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: node,
      targetRef: { kind: 'Pod', name: `pod-on-${node}`, namespace: 'shoal' },
      zone: 'zone-a',
    })),
  };
}

function follow(access: AccessSource): Membership {
  const source = new KubernetesSource({
    client: createKubernetesClient(access),
    namespace: 'shoal',
    labelSelector: 'app.kubernetes.io/name=shoal',
    portName: 'p2p',
    logger,
    times: { ...defaultTimes, healthyMs: 0, firstWaitMs: 5, longestWaitMs: 20 },
  });
  const membership = startMembership({ source, self: 'n1', probe: async () => {}, probeTimeoutMs: 1_000, logger });
  scope.defer(() => membership.close());
  return membership;
}

/** Resolves when exactly these are the members. */
async function become(membership: Membership, ...ids: readonly string[]): Promise<void> {
  const reached = Promise.withResolvers<void>();
  const check = () => {
    if (
      membership
        .members()
        .map(({ id }) => id)
        .join() === ids.join()
    )
      reached.resolve();
  };
  const end = membership.onChange(check);
  check();
  await reached.promise;
  end();
}

describe('members from EndpointSlices', () => {
  test('are the endpoints of all roles, with their zones, and nothing of other Services', async () => {
    api.put(endpointSlicesPath, slice('agents-1', ['n1', 'n2']));
    api.put(endpointSlicesPath, slice('mirrors-1', ['n2'], 'mirror'));
    api.put(endpointSlicesPath, { ...slice('other-1', ['n9']), metadata: { name: 'other-1', namespace: 'shoal' } });
    const membership = follow(() => api.access());
    await membership.firstAnswer;
    expect(membership.members()).toEqual([
      { id: 'n1', address: '192.0.2.1:65001', zone: 'zone-a', role: 'agent' },
      { id: 'n2', address: '192.0.2.2:65001', zone: 'zone-a', role: 'agent' },
      { id: 'pod-on-n2', address: '192.0.2.2:65001', zone: 'zone-a', role: 'mirror' },
    ]);
  });

  test('come and go with the slices', async () => {
    api.put(endpointSlicesPath, slice('agents-1', ['n1', 'n2']));
    const membership = follow(() => api.access());
    await become(membership, 'n1', 'n2');
    api.put(endpointSlicesPath, slice('agents-2', ['n3']));
    await become(membership, 'n1', 'n2', 'n3');
    api.put(endpointSlicesPath, slice('agents-1', ['n2']));
    await become(membership, 'n2', 'n3');
    api.remove(endpointSlicesPath, 'agents-1');
    await become(membership, 'n3');
  });

  test('stay as they were while the API server is away, and are up to date when it is back', async () => {
    api.put(endpointSlicesPath, slice('agents-1', ['n1', 'n2']));
    const membership = follow(() => api.access());
    await become(membership, 'n1', 'n2');
    await api.until(() => api.watches === 1);
    let refused = 0;
    api.intercept = (_request, response) => {
      refused += 1;
      response.destroy();
      return true;
    };
    api.endWatches('cut');
    await api.until(() => refused >= 5);
    expect(membership.members().map(({ id }) => id)).toEqual(['n1', 'n2']);
    expect(membership.failure()).toMatch(/endpointslices\.discovery\.k8s\.io in namespace shoal/);
    api.put(endpointSlicesPath, slice('agents-1', ['n1']));
    api.compact();
    api.intercept = undefined;
    await become(membership, 'n1');
  });
});

describe('the way in', () => {
  const inFolder = async (folder: string, name: string, content: string) => {
    // As the kubelet does it: the new file appears whole.
    await writeFile(path.join(folder, `.${name}`), content);
    await rename(path.join(folder, `.${name}`), path.join(folder, name));
  };

  test('of a service account goes on when the kubelet rotates its token', async () => {
    const folder = await temporaryFolder(scope, 'service-account');
    await inFolder(folder, 'ca.crt', await readFile(api.authority.certificateFile, 'utf8'));
    await inFolder(folder, 'token', 'secret-token');
    const environment = { KUBERNETES_SERVICE_HOST: api.host, KUBERNETES_SERVICE_PORT: String(api.port) };
    api.put(endpointSlicesPath, slice('agents-1', ['n1']));
    const membership = follow(serviceAccountAccess({ environment, folder }));
    await become(membership, 'n1');
    await api.until(() => api.watches === 1);
    api.permissions.clear();
    api.permissions.set('rotated-token', ['list', 'watch']);
    await inFolder(folder, 'token', 'rotated-token');
    api.endWatches('end');
    api.put(endpointSlicesPath, slice('agents-1', ['n1', 'n2']));
    await become(membership, 'n1', 'n2');
    expect(api.requests.filter(({ status }) => status === 401)).toEqual([]);
  });

  test('of a client certificate goes on with the next one, without a new start', async () => {
    const folder = await temporaryFolder(scope, 'kubeconfig');
    await mkdir(path.join(folder, 'pki'));
    const install = async (name: string) => {
      const { certificateFile, keyFile } = await api.authority.issue(name);
      await inFolder(path.join(folder, 'pki'), 'client.pem', await readFile(certificateFile, 'utf8'));
      await inFolder(path.join(folder, 'pki'), 'client.key', await readFile(keyFile, 'utf8'));
    };
    await install('first');
    const kubeconfig = {
      'current-context': 'here',
      clusters: [{ name: 'c', cluster: { server: api.url, 'certificate-authority': api.authority.certificateFile } }],
      users: [{ name: 'u', user: { 'client-certificate': 'pki/client.pem', 'client-key': 'pki/client.key' } }],
      contexts: [{ name: 'here', context: { cluster: 'c', user: 'u' } }],
    };
    await writeFile(path.join(folder, 'config'), stringify(kubeconfig));
    api.permissions.clear();
    api.permissions.set('CN=first', ['list', 'watch']);
    api.put(endpointSlicesPath, slice('agents-1', ['n1']));
    const membership = follow(kubeconfigAccess({ file: path.join(folder, 'config') }));
    await become(membership, 'n1');
    await api.until(() => api.watches === 1);
    await install('second');
    api.permissions.clear();
    api.permissions.set('CN=second', ['list', 'watch']);
    api.endWatches('end');
    api.put(endpointSlicesPath, slice('agents-1', ['n1', 'n2']));
    await become(membership, 'n1', 'n2');
    expect(api.requests.filter(({ status }) => status === 401)).toEqual([]);
  });

  test('of a configuration leads to members, and suspicion is taken back by the probe', async () => {
    const folder = await temporaryFolder(scope, 'kubeconfig');
    const kubeconfig = {
      'current-context': 'here',
      clusters: [{ name: 'c', cluster: { server: api.url, 'certificate-authority': api.authority.certificateFile } }],
      users: [{ name: 'u', user: { token: 'secret-token' } }],
      contexts: [{ name: 'here', context: { cluster: 'c', user: 'u' } }],
    };
    const file = path.join(folder, 'config');
    await writeFile(file, stringify(kubeconfig));
    api.put(endpointSlicesPath, slice('agents-1', ['n1', 'n2']));
    const answered = Promise.withResolvers<void>();
    const membership = createMembership(
      membershipSchema.parse({ source: 'kubernetes', kubernetes: { kubeconfig: file } }),
      { self: 'n1', probe: () => answered.promise, probeTimeoutMs: 60_000, logger, environment: {} },
    );
    if (membership === undefined) throw new Error('no membership');
    scope.defer(() => membership.close());
    await become(membership, 'n1', 'n2');
    membership.suspect('n2');
    expect(membership.reachable().map(({ id }) => id)).toEqual(['n1']);
    const back = Promise.withResolvers<void>();
    membership.onChange(back.resolve);
    answered.resolve();
    await back.promise;
    expect(membership.reachable().map(({ id }) => id)).toEqual(['n1', 'n2']);
  });
});
