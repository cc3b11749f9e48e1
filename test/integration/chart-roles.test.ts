import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { initAuthority } from '../../src/swarm/tls/authority.ts';
import { configOf, type Labels, named, ofKind, workloads } from '../harness/chart-objects.ts';
import { entry } from '../harness/entry.ts';
import { chartFolder, type Manifest, type Rendered, renderChart } from '../harness/helm.ts';
import {
  createApiCertificates,
  endpointSlicesPath,
  type FakeKubernetesApi,
  startKubernetesApi,
} from '../harness/kubernetes-api.ts';
import { freePort } from '../harness/ports.ts';
import { type RunningProcess, run, runAnyway, start } from '../harness/process.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

/** What the chart's pods run, with the chart's configurations, certificates and Services; without a cluster around them. */

let scope: Scope;
let folder: string;
let api: FakeKubernetesApi;
let rendered: Rendered;
beforeEach(async () => {
  scope = new Scope();
  folder = await temporaryFolder(scope, 'roles');
  api = await startKubernetesApi(scope, await createApiCertificates(scope));
  await initAuthority({ directory: file('authority') });
  await writeFile(file('shoal'), `#!/bin/sh\nexec ${process.execPath} ${entry} "$@"\n`);
  await chmod(file('shoal'), 0o755);
  const context = { name: 'a', context: { cluster: 'a', user: 'a' } };
  const cluster = { server: api.url, 'certificate-authority': api.authority.certificateFile };
  const user = { name: 'a', user: { token: 'secret-token' } };
  const config = { 'current-context': 'a', clusters: [{ name: 'a', cluster }], users: [user], contexts: [context] };
  await writeFile(file('kubeconfig'), stringify(config));
  rendered = await renderChart({ namespace: 'shoal', set: ['p2p.plusMode.enable=true'] });
});
afterEach(() => scope.close());

const file = (...names: string[]): string => path.join(folder, ...names);

/** The pod's certificates, made by the pod's script. */
async function issue(member: string): Promise<void> {
  const env = {
    PATH: `${folder}:${process.env.PATH}`,
    AUTHORITY: file('authority'),
    CERTIFICATES: file(member),
    MEMBER: member,
    ADDRESSES: '127.0.0.1',
    DAYS: '90',
    RENEW_BEFORE: '30',
  };
  await run(['/bin/sh', path.join(chartFolder, 'files/certificates.sh'), 'once'], { env });
}

/** Starts what the pod runs; what is in a volume there is in a folder here, and ports are its own. */
async function startRole(command: 'mirror' | 'scheduler', port: number, telemetry: number): Promise<RunningProcess> {
  const name = command === 'mirror' ? 'registry-mirror' : command;
  const pod = `${named(ofKind(rendered, 'StatefulSet'), `-${name}`).metadata.name}-0`;
  await issue(pod);
  await mkdir(file(`run-${command}`));
  await writeFile(file(`${pod}.yaml`), configOf(rendered, name));
  const here = {
    stateDir: file(`${pod}-state`),
    runDir: file(`run-${command}`),
    'p2p.id': pod,
    'p2p.port': port,
    'p2p.host': '127.0.0.1',
    'telemetry.host': '127.0.0.1',
    'telemetry.port': telemetry,
    'p2p.membership.kubernetes.kubeconfig': file('kubeconfig'),
    'p2p.certificates.caFile': file(pod, 'swarm-ca.crt'),
    'p2p.certificates.certFile': file(pod, 'swarm.crt'),
    'p2p.certificates.keyFile': file(pod, 'swarm.key'),
    // A mirror takes its disk cache at its start.
    'p2p.v2.cache.capacity': 128 * 1024 * 1024,
  };
  const sets = Object.entries(here).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
  api.put(endpointSlicesPath, slice(name, pod, port));
  const role = await start(scope, command, [file('shoal'), command, '--config', file(`${pod}.yaml`), ...sets]);
  await role.until(() => role.output.includes(`${command} ready`), { what: `${command} ready`, timeoutMs: 60_000 });
  return role;
}

/** The EndpointSlice that Kubernetes makes for the chart's Service and its one pod. */
function slice(name: string, pod: string, port: number) {
  const service = named(ofKind(rendered, 'Service'), `-${name}`) as Manifest & { metadata: { labels: Labels } };
  return {
    metadata: { name: `${service.metadata.name}-x`, namespace: 'shoal', labels: service.metadata.labels },
    addressType: 'IPv4',
    ports: [{ name: 'p2p', protocol: 'TCP', port }],
    endpoints: [{ addresses: ['127.0.0.1'], conditions: { ready: true }, targetRef: { kind: 'Pod', name: pod } }],
  };
}

/** The probes of the role's container: where the kubelet asks whether it lives and is ready. */
function probesOf(role: string): string[] {
  const container = named(workloads(rendered), `-${role}`).spec.template.spec.containers[0];
  return [container?.startupProbe, container?.livenessProbe, container?.readinessProbe].map(
    (probe) => probe?.httpGet.path ?? 'no probe',
  );
}

test('the scheduler and the mirror start, find each other and answer to a node, and to nobody without a certificate', async () => {
  const [schedulerPort, mirrorPort, ...telemetryPorts] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ] as const;
  const scheduler = await startRole('scheduler', schedulerPort, telemetryPorts[0]);
  const mirror = await startRole('mirror', mirrorPort, telemetryPorts[1]);
  for (const role of [scheduler, mirror]) {
    await role.until(() => role.output.includes('"members":2'), { what: 'the other one', timeoutMs: 60_000 });
  }
  for (const [role, port] of [
    ['scheduler', telemetryPorts[0]],
    ['registry-mirror', telemetryPorts[1]],
  ] as const) {
    for (const probe of probesOf(role)) {
      const answer = await fetch(`http://127.0.0.1:${port}${probe}`);
      expect(answer.status, `${role} ${probe}: ${await answer.text()}`).toBe(200);
    }
  }
  await issue('node-1');
  const url = `https://127.0.0.1:${mirrorPort}/v1/blobs/sha256:${'0'.repeat(64)}/pieces/0`;
  const curl = [
    'curl',
    '--silent',
    '--output',
    '/dev/null',
    '--write-out',
    '%{http_code}',
    '--cacert',
    file('authority', 'ca.crt'),
  ] as const;
  const certificate = ['--cert', file('node-1', 'swarm.crt'), '--key', file('node-1', 'swarm.key')] as const;
  expect(await run([...curl, ...certificate, url])).toBe('404');
  expect((await runAnyway([...curl, url])).stdout).toBe('000');
  for (const role of [scheduler, mirror]) {
    expect(role.exit).toBeUndefined();
    expect(await role.stop()).toMatchObject({ code: 0 });
    expect(role.output).not.toMatch(/"level":(50|60)/);
  }
});
