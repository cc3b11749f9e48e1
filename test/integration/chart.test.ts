import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { configKeys } from '../../src/config/keys.ts';
import { resolveConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/schema.ts';
import { packageRoot } from '../../src/paths.ts';
import { endpointsOf } from '../../src/swarm/membership/endpoint-slices.ts';
import { chartCases } from '../harness/chart-cases.ts';
import {
  configOf,
  containersOf,
  filesOf,
  type Labels,
  named,
  ofKind,
  type Rule,
  selects,
  sourcesOf,
  type Workload,
  workloads,
} from '../harness/chart-objects.ts';
import { chartFolder, type Manifest, parseSet, type Rendered, renderChart } from '../harness/helm.ts';
import { problemsOf } from '../harness/kubernetes-schemas.ts';

const known = new Map<string, Promise<Rendered>>();

/** A case of `chartCases`, rendered once. */
function render(name: string): Promise<Rendered> {
  const options = chartCases[name];
  if (options === undefined) throw new Error(`there is no case ${name}`);
  const rendering = known.get(name) ?? renderChart(options);
  known.set(name, rendering);
  return rendering;
}

/** The configuration of a role, as the role itself reads it: the file, and what the pod puts into its environment. */
function roleConfig(rendered: Rendered, role: 'agent' | 'registry-mirror' | 'scheduler'): Config {
  const pod = workloads(rendered).find(({ metadata }) => metadata.name.endsWith(`-${role}`));
  const environment = pod?.spec.template.spec.containers[0]?.env ?? [];
  const env = Object.fromEntries(
    environment.filter(({ name }) => name.startsWith('SHOAL_')).map(({ name, value }) => [name, standIn(value)]),
  );
  return resolveConfig({ document: { file: `${role}.yaml`, text: configOf(rendered, role) }, env }).config;
}

/** As it is written behind `--set key=`. */
const asText = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

/** What the kubelet would put in place of a reference to another variable. */
const standIn = (value = ''): string => value.replace('$(POD_NAME)', 'pod-0').replace('$(POD_IP)', '10.0.0.1');

const roles = (rendered: Rendered): ('agent' | 'registry-mirror' | 'scheduler')[] =>
  (['agent', 'registry-mirror', 'scheduler'] as const).filter((role) =>
    workloads(rendered).some(({ metadata }) => metadata.name.endsWith(`-${role}`)),
  );

describe.each(Object.keys(chartCases))('%s', (name) => {
  test('is what Kubernetes, cert-manager and the Prometheus operator take', async () => {
    const { manifests } = await render(name);
    const problems = await Promise.all(manifests.map(problemsOf));
    expect(problems.flat()).toEqual([]);
    const names = manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    expect(new Set(names).size).toBe(names.length);
  });

  test('gives every role a configuration that it takes', async () => {
    const rendered = await render(name);
    for (const role of roles(rendered)) {
      const { p2p } = roleConfig(rendered, role);
      expect(p2p.membership.source).toBe('kubernetes');
    }
  });

  test('has selectors that select exactly the pods that they mean', async () => {
    const rendered = await render(name);
    const pods = workloads(rendered).filter(({ kind }) => kind !== 'Job');
    for (const { spec, metadata } of pods) {
      expect(selects(spec.selector?.matchLabels ?? {}, spec.template.metadata.labels), metadata.name).toBe(true);
    }
    const selected = (selector: Labels): string[] =>
      workloads(rendered)
        .filter(({ spec }) => selects(selector, spec.template.metadata.labels))
        .map(({ metadata }) => metadata.name);
    for (const service of ofKind(rendered, 'Service') as (Manifest & { spec: { selector: Labels } })[]) {
      expect(selected(service.spec.selector)).toEqual([service.metadata.name]);
    }
    for (const { spec, metadata } of ofKind(rendered, 'PodDisruptionBudget') as Workload[]) {
      expect(selected(spec.selector?.matchLabels ?? {})).toEqual([metadata.name]);
    }
    for (const policy of ofKind(rendered, 'NetworkPolicy') as (Manifest & {
      spec: { podSelector: Workload['spec']['selector'] };
    })[]) {
      expect(selected(policy.spec.podSelector?.matchLabels ?? {})).toEqual([policy.metadata.name]);
    }
    for (const { spec } of pods.filter(({ kind }) => kind === 'StatefulSet')) {
      expect(ofKind(rendered, 'Service').map(({ metadata }) => metadata.name)).toContain(spec.serviceName);
    }
  });

  test('refers to nothing that is not there', async () => {
    const rendered = await render(name);
    const there = (kind: string): string[] => ofKind(rendered, kind).map(({ metadata }) => metadata.name);
    // Not the chart's: every namespace has the first; the authority is made by the hook or by cert-manager; the rest is the user's.
    const elsewhere = [
      'kube-root-ca.crt',
      'mine',
      'registries',
      ...there('Job').filter((each) => each.endsWith('-authority')),
      ...there('Certificate'),
    ];
    for (const workload of workloads(rendered)) {
      const { volumes = [], serviceAccountName } = workload.spec.template.spec;
      expect(there('ServiceAccount')).toContain(serviceAccountName);
      for (const { secrets, configMaps } of volumes.map(sourcesOf)) {
        for (const each of secrets) expect([...there('Secret'), ...elsewhere]).toContain(each);
        for (const each of configMaps) expect([...there('ConfigMap'), ...elsewhere]).toContain(each);
      }
      const mounted = new Set(
        containersOf(workload).flatMap(({ volumeMounts = [] }) => volumeMounts.map(({ name }) => name)),
      );
      expect([...mounted].sort()).toEqual(volumes.map(({ name }) => name).sort());
    }
    for (const binding of [
      ...ofKind(rendered, 'RoleBinding'),
      ...ofKind(rendered, 'ClusterRoleBinding'),
    ] as (Manifest & {
      roleRef: { kind: string; name: string };
      subjects: { name: string; namespace: string }[];
    })[]) {
      expect(there(binding.roleRef.kind)).toContain(binding.roleRef.name);
      for (const subject of binding.subjects) expect(there('ServiceAccount')).toContain(subject.name);
    }
  });

  test('names no file in a configuration that is not mounted', async () => {
    const rendered = await render(name);
    for (const role of roles(rendered)) {
      const named = [...configOf(rendered, role).matchAll(/(?:File|kubeconfig): (\/\S+)$/gm)].map(
        ([, file]) => file ?? '',
      );
      expect(
        named.filter((file) => !mountedFiles(rendered, role).includes(file)),
        role,
      ).toEqual([]);
    }
  });

  test('has no secret anywhere but in a Secret', async () => {
    const { manifests, notes } = await render(name);
    const open = JSON.stringify([manifests.filter(({ kind }) => kind !== 'Secret'), notes]);
    for (const secret of ['LTAI-key-of-the-test', 'secret-of-the-test']) {
      expect(open).not.toContain(secret);
      expect(open).not.toContain(Buffer.from(secret).toString('base64'));
    }
  });

  test('takes no more rights on the node and in the pods than it needs', async () => {
    const rendered = await render(name);
    for (const workload of workloads(rendered)) {
      for (const { name: container, securityContext, resources } of containersOf(workload)) {
        const context = JSON.stringify(securityContext);
        expect(resources?.limits, container).toBeDefined();
        if (workload.kind === 'DaemonSet' && container === 'node') continue;
        expect(context, container).not.toContain('privileged');
        expect(securityContext).toMatchObject({
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'] },
          readOnlyRootFilesystem: true,
        });
      }
      const { hostNetwork, hostPID } = workload.spec.template.spec;
      expect([hostNetwork, hostPID]).toEqual(workload.kind === 'DaemonSet' ? [true, true] : [undefined, undefined]);
    }
  });

  test('has names that fit', async () => {
    const { manifests } = await render(name);
    for (const { metadata, kind } of manifests) {
      // A StatefulSet's name goes into a label, with a hash of ten characters behind it; a pod's into a certificate.
      expect(metadata.name.length, `${kind} ${metadata.name}`).toBeLessThanOrEqual(kind === 'StatefulSet' ? 52 : 63);
      for (const value of Object.values(metadata.labels ?? {})) expect(value.length).toBeLessThanOrEqual(63);
    }
  });
});

/** What the Secret of the case "a registry's own authority" has. */
const userFiles = ['registry.pem'];

/** The files that a role finds: those of the pod's volumes, and on a node those that bootstrap.sh puts into /etc/shoal. */
function mountedFiles(rendered: Rendered, role: string): string[] {
  const workload = named(workloads(rendered), `-${role}`);
  const { volumes = [], containers } = workload.spec.template.spec;
  // Written by certificates.sh and by node.sh; node.sh puts the files of these folders into /etc/shoal of the node.
  const written: Readonly<Record<string, string[]>> = {
    certificates: ['swarm-ca.crt', 'swarm.crt', 'swarm.key'],
    files: ['config.yaml', 'kubeconfig'],
    // What is in it has no items: the role's configuration, and the user's own files.
    config: ['config.yaml', ...userFiles],
    credentials: userFiles,
  };
  const [container] = containers;
  const command = container?.command ?? [];
  return (container?.volumeMounts ?? []).flatMap(({ name, mountPath }) => {
    const volume = volumes.find((each) => each.name === name);
    const files = [...(written[name] ?? []), ...(volume ? filesOf(volume) : [])];
    const isCopied = command.includes('/scripts/node.sh') && (command.includes(mountPath) || name === 'files');
    return files.map((file) => path.join(isCopied ? '/etc/shoal' : mountPath, file));
  });
}

describe('the swarm', () => {
  test("finds its members by the Services' labels, each in its role", async () => {
    const rendered = await render('an on-premises cluster');
    const { kubernetes } = roleConfig(rendered, 'agent').p2p.membership;
    expect(kubernetes.namespace).toBe('aliyun-acr-acceleration');
    const wanted = Object.fromEntries(kubernetes.selector.split(',').map((term) => term.split('=')));
    const found = ofKind(rendered, 'Service').map(({ metadata, spec }) => {
      expect(selects(wanted, metadata.labels ?? {})).toBe(true);
      const { ports } = spec as { ports: { name: string; port: number }[] };
      // The slice controller copies the Service's labels and ports.
      const endpoint = { addresses: ['10.0.0.1'], nodeName: 'node-1', targetRef: { name: 'pod-0' } };
      const content = { addressType: 'IPv4', metadata, ports, endpoints: [endpoint] };
      const slice = { namespace: '', name: metadata.name, resourceVersion: '1', content };
      return endpointsOf(slice, kubernetes.portName)?.map(({ role, id, address }) => [role, id, address]);
    });
    expect(found.flat().sort()).toEqual([
      ['agent', 'node-1', '10.0.0.1:65001'],
      ['mirror', 'pod-0', '10.0.0.1:65001'],
      ['scheduler', 'pod-0', '10.0.0.1:65001'],
    ]);
    for (const { spec } of workloads(rendered).filter(({ kind }) => kind === 'StatefulSet')) {
      expect(spec.template.spec.containers[0]?.ports).toContainEqual({ name: 'p2p', containerPort: 65001 });
    }
  });

  test('loses the nodes that the pre-delete hook takes back', async () => {
    const rendered = await render('as it is');
    const { spec } = named(ofKind(rendered, 'Service'), '-agent') as Manifest & { spec: { selector: Labels } };
    const { labels } = named(workloads(rendered), '-agent').spec.template.metadata;
    expect(selects(spec.selector, { ...labels, 'shoal-node': 'removed' })).toBe(false);
    // While the DaemonSet itself keeps its pods.
    expect(named(workloads(rendered), '-agent').spec.selector?.matchLabels).not.toHaveProperty('shoal-node');
  });

  test('has a certificate for each member, with the name that it is known by', async () => {
    const rendered = await render('an on-premises cluster');
    for (const [role, field] of [
      ['agent', 'spec.nodeName'],
      ['registry-mirror', 'metadata.name'],
      ['scheduler', 'metadata.name'],
    ] as const) {
      const issuing = containersOf(named(workloads(rendered), `-${role}`)).filter(({ command }) =>
        command.includes('/scripts/certificates.sh'),
      );
      expect(issuing.map(({ command }) => command.at(-1))).toEqual(['once', 'keep']);
      for (const { env } of issuing) {
        expect(env).toContainEqual({ name: 'MEMBER', valueFrom: { fieldRef: { fieldPath: field } } });
      }
    }
    expect(roleConfig(rendered, 'registry-mirror').p2p.id).toBe('pod-0');
  });

  test('has no certificates with p2p.tls=off', async () => {
    const rendered = await render('without TLS');
    const containers = workloads(rendered).flatMap(containersOf);
    expect(containers.filter(({ command }) => command.join(' ').includes('cert'))).toEqual([]);
    const volumes = workloads(rendered).flatMap(({ spec }) => spec.template.spec.volumes ?? []);
    expect(volumes.filter(({ name }) => /certificates|authority/.test(name))).toEqual([]);
    expect(roleConfig(rendered, 'agent').p2p.certificates).toEqual({});
  });
});

describe('plus mode', () => {
  test('has mirrors, on the chosen nodes, and no schedulers with downloadPattern=source', async () => {
    const off = await render('as it is');
    expect(roles(off)).toEqual(['agent', 'scheduler']);
    const on = await render('nodeSelectorEnable');
    expect(roles(on)).toEqual(['agent', 'registry-mirror', 'scheduler']);
    for (const role of ['registry-mirror', 'scheduler']) {
      const { nodeSelector } = named(workloads(on), `-${role}`).spec.template.spec;
      expect(nodeSelector).toHaveProperty(['k8s.aliyun.com/p2p-plus-node'], 'true');
    }
    const source = await render('downloadPattern=source');
    expect(roles(source)).toEqual(['agent', 'registry-mirror']);
    expect(roleConfig(source, 'agent').p2p.plusMode.downloadPattern).toBe('source');
  });

  test('keeps the cache on the host, a folder for each replica, or in the pod with room for it', async () => {
    const state = async (name: string) => {
      const { volumes = [], containers } = named(workloads(await render(name)), '-registry-mirror').spec.template.spec;
      const mount = containers[0]?.volumeMounts?.find((each) => each.mountPath === '/var/lib/shoal');
      expect(mount?.subPathExpr).toBe('$(POD_NAME)');
      return volumes.find(({ name: volume }) => volume === mount?.name);
    };
    expect(await state('cacheHostPath')).toMatchObject({ hostPath: { path: '/data/shoal' } });
    const { emptyDir } = (await state('an on-premises cluster')) ?? {};
    const { capacity } = roleConfig(await render('an on-premises cluster'), 'registry-mirror').p2p.v2.cache;
    expect(Number(emptyDir?.sizeLimit)).toBeGreaterThan(capacity);
  });

  test('takes a changed cacheTTL at an upgrade, and restarts the mirrors alone', async () => {
    const [before, after] = await Promise.all([render('an on-premises cluster'), render('cacheTTL=72h')]);
    const ttl = (rendered: Rendered): number => roleConfig(rendered, 'registry-mirror').p2p.plusMode.cacheTTL;
    expect([ttl(before), ttl(after)]).toEqual([24 * 3600, 72 * 3600]);
    const templates = (rendered: Rendered) =>
      new Map(workloads(rendered).map(({ metadata, spec }) => [metadata.name, JSON.stringify(spec.template)]));
    const [old, changed] = [templates(before), templates(after)];
    const restarted = [...changed].filter(([name, template]) => old.get(name) !== template).map(([name]) => name);
    expect(restarted).toEqual(['ack-acr-acceleration-p2p-registry-mirror']);
  });

  test('logs the mirrors in: at ACR, and with a docker configuration', async () => {
    const { registries } = roleConfig(await render('everything of plus mode'), 'registry-mirror');
    expect(registries.logins).toEqual({ acr: true, dockerConfigFile: '/etc/shoal/docker-config.json' });
    expect(roleConfig(await render('everything of plus mode'), 'agent').registries.logins).toEqual({ acr: false });
  });
});

describe('the values of the documents', () => {
  test('come out in the configuration', async () => {
    const { acrInstances, region, pullImageInternet } = roleConfig(await render('an on-premises cluster'), 'agent');
    const oss = roleConfig(await render('ossInternetAccelerate'), 'registry-mirror').p2p.plusMode.ossInternetAccelerate;
    expect({ acrInstances, region, pullImageInternet, oss }).toEqual({
      oss: true,
      acrInstances: ['cri-1a2b3c'],
      region: 'cn-hangzhou',
      pullImageInternet: true,
    });
    expect(roleConfig(await render('ACK by the worker RAM role'), 'agent').acrInstances).toEqual([
      'cri-xxx',
      'cri-yyy',
    ]);
    const { p2p } = roleConfig(await render("the appendix's parameters"), 'agent');
    expect(p2p).toMatchObject({ proxyFsParallels: 256, connectTimeout: 10, transferTimeout: 30, authorizationTTL: 0 });
    expect(p2p.v2.cache).toEqual({
      mode: 'disk',
      blocksize: 512,
      capacity: 8_589_934_592,
      optionBlockSize: 134_217_728,
      memoryCacheCapacityGB: 2,
      aio: 0,
      cacheTTL: 3 * 86_400,
    });
    expect(roleConfig(await render('memory mode'), 'agent').p2p.v2.cache).toMatchObject({
      capacity: 0,
      optionBlockSize: 8_589_934_592,
    });
  });

  test('RRSA: the service accounts of the trust policy, a token for STS, no AccessKey', async () => {
    const rendered = await render('RRSA in plus mode');
    const accounts = ofKind(rendered, 'ServiceAccount').map(({ metadata }) => `${metadata.namespace}:${metadata.name}`);
    for (const name of ['ack-acr-acceleration-p2p-sa', 'ack-acr-acceleration-p2p-job-sa']) {
      expect(accounts).toContain(`aliyun-acr-acceleration:${name}`);
    }
    for (const role of ['agent', 'registry-mirror'] as const) {
      const { serviceAccountName, volumes = [] } = named(workloads(rendered), `-${role}`).spec.template.spec;
      expect(serviceAccountName).toBe('ack-acr-acceleration-p2p-sa');
      const tokens = volumes.flatMap(
        ({ projected }) => projected?.sources.map((each) => each.serviceAccountToken) ?? [],
      );
      expect(tokens).toContainEqual({ audience: 'sts.aliyuncs.com', expirationSeconds: 3600, path: 'rrsa-token' });
      expect(roleConfig(rendered, role).rrsa).toMatchObject({ enable: true, expireDuration: 43_200 });
    }
    expect(ofKind(rendered, 'Secret')).toEqual([]);
    expect((await render('another namespace')).notes).toContain(
      'system:serviceaccount:images:ack-acr-acceleration-p2p-sa',
    );
  });
});

describe('metrics', () => {
  test('are on loopback, unless Prometheus is to come for them', async () => {
    expect(roleConfig(await render('as it is'), 'agent').telemetry).toMatchObject({ host: '127.0.0.1', port: 65003 });
    const rendered = await render('monitored');
    const traces = { endpoint: 'http://collector:4318', registries: ['registry.example.com'] };
    expect(roleConfig(rendered, 'agent').telemetry).toMatchObject({ host: '0.0.0.0', traces });
    for (const role of roles(rendered)) expect(roleConfig(rendered, role).telemetry.traces).toEqual(traces);
    expect(roleConfig(rendered, 'scheduler').telemetry.host).toBe('10.0.0.1');
    const { metadata, spec } = named(ofKind(rendered, 'ServiceMonitor'), 'p2p') as Manifest & {
      spec: { selector: { matchLabels: Labels }; endpoints: { port: string; path: string }[] };
    };
    expect(metadata.labels).toMatchObject({ release: 'prometheus' });
    const services = ofKind(rendered, 'Service') as (Manifest & {
      spec: { ports: { name: string; port: number }[] };
    })[];
    const selected = services.filter((each) => selects(spec.selector.matchLabels, each.metadata.labels ?? {}));
    expect(selected).toHaveLength(3);
    for (const { spec: service } of selected) {
      expect(service.ports.map(({ name }) => name)).toContain(spec.endpoints[0]?.port);
    }
  });
});

describe('rights', () => {
  const rulesOf = (rendered: Rendered, kind: string): Record<string, readonly Rule[]> =>
    Object.fromEntries(
      (ofKind(rendered, kind) as (Manifest & { rules: Rule[] })[]).map(({ metadata, rules }) => [
        metadata.name.replace('ack-acr-acceleration-p2p', ''),
        rules,
      ]),
    );

  test('are these and no others', async () => {
    const rendered = await render('an on-premises cluster');
    expect(rulesOf(rendered, 'Role')).toEqual({
      '-membership': [{ apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] }],
      '-authority': [{ apiGroups: [''], resources: ['secrets'], verbs: ['create'] }],
      '-leave': [
        {
          apiGroups: ['apps'],
          resources: ['daemonsets'],
          resourceNames: ['ack-acr-acceleration-p2p-agent'],
          verbs: ['get', 'patch'],
        },
        { apiGroups: [''], resources: ['pods'], verbs: ['list'] },
      ],
    });
    expect(rulesOf(rendered, 'ClusterRole')).toEqual({
      ':aliyun-acr-acceleration': [{ apiGroups: [''], resources: ['namespaces'], verbs: ['list', 'watch'] }],
    });
    expect(rulesOf(await render('with events'), 'ClusterRole')[':aliyun-acr-acceleration']).toContainEqual({
      apiGroups: [''],
      resources: ['events'],
      verbs: ['create', 'patch'],
    });
    expect(roleConfig(await render('with events'), 'agent').kubernetes.events).toBe(true);
    expect(roleConfig(rendered, 'agent').kubernetes.events).toBe(false);
  });

  test('of the whole cluster are left out where nothing needs them', async () => {
    expect(rulesOf(await render('accelerate=all'), 'ClusterRole')).toEqual({});
    expect(ofKind(await render('no RBAC'), 'Role')).toEqual([]);
  });

  test('of the hooks are there as long as the hooks', async () => {
    const rendered = await render('as it is');
    for (const end of ['-authority', '-leave']) {
      for (const kind of ['Role', 'RoleBinding']) {
        const annotations = named(ofKind(rendered, kind), end).metadata.annotations ?? {};
        expect(annotations['helm.sh/hook']).toBe(end === '-leave' ? 'pre-delete' : 'pre-install,pre-upgrade');
        expect(annotations['helm.sh/hook-delete-policy']).toContain('hook-succeeded');
        expect(Number(annotations['helm.sh/hook-weight'])).toBeLessThan(0);
      }
    }
  });
});

describe('hooks', () => {
  test('make the authority before anything mounts it, unless it is somebody else’s', async () => {
    const job = named(workloads(await render('as it is')), '-authority');
    expect(job.metadata.annotations).toMatchObject({ 'helm.sh/hook': 'pre-install,pre-upgrade' });
    const secret = named(workloads(await render('as it is')), '-agent').spec.template.spec.volumes?.find(
      ({ name }) => name === 'authority',
    );
    expect(containersOf(job)[0]?.command).toEqual([
      ...['shoal', 'certs', 'init', '--secret', secret?.secret?.secretName],
      ...['--namespace', 'aliyun-acr-acceleration'],
    ]);
    for (const name of ['certificates by cert-manager', "the user's authority", 'without TLS']) {
      const jobs = ofKind(await render(name), 'Job').map(({ metadata }) => metadata.name);
      expect(jobs).toEqual(['ack-acr-acceleration-p2p-leave']);
    }
  });

  test('take the nodes back before the DaemonSet goes', async () => {
    const rendered = await render('as it is');
    const job = named(workloads(rendered), '-leave');
    expect(job.metadata.annotations).toMatchObject({ 'helm.sh/hook': 'pre-delete' });
    const { name } = named(ofKind(rendered, 'DaemonSet'), '-agent').metadata;
    expect(containersOf(job)[0]?.command).toEqual([
      ...['shoal', 'nodes', 'leave', '--daemonset', name, '--namespace', 'aliyun-acr-acceleration', '--timeout', '240'],
    ]);
  });
});

describe('documentation', () => {
  test('calls what is a key of the configuration by its name, and hands it to the agents', async () => {
    const values = new Map(leaves(parse(await read('values.yaml'))));
    const config = roleConfig(await render('as it is'), 'agent');
    const defaults = resolveConfig({ env: {} }).config;
    const same = configKeys
      .filter(({ name }) => values.has(name))
      .map(({ path: segments, name }) => ({ segments, name }));
    expect(same.length).toBeGreaterThan(20);
    const at = (tree: unknown, segments: readonly string[]): unknown =>
      segments.reduce<unknown>((node, key) => (node as Record<string, unknown> | undefined)?.[key], tree);
    for (const { name, segments } of same) {
      const value = values.get(name);
      // Empty in the values: the configuration's own default.
      const isDefault = value === '' || value === null;
      const expected = isDefault
        ? at(defaults, segments)
        : at(resolveConfig({ env: {}, set: [`${name}=${asText(value)}`] }).config, segments);
      expect(at(config, segments), name).toEqual(expected);
    }
  });

  const read = (name: string): Promise<string> => readFile(path.join(chartFolder, name), 'utf8');
  /** Sections that are one value: what is in them is the user's. */
  const whole = /(^|\.)(nodeSelector|affinity|podLabels|podAnnotations|resources|hosts|annotations|labels)$/;
  const leaves = (tree: object, above = ''): [string, unknown][] =>
    Object.entries(tree).flatMap(([key, value]): [string, unknown][] => {
      const name = `${above}${key}`;
      const isSection = typeof value === 'object' && value !== null && !Array.isArray(value) && !whole.test(name);
      return isSection ? leaves(value, `${name}.`) : [[name, value]];
    });

  test('names every value with its default', async () => {
    const rows = [...(await read('README.md')).matchAll(/^\| `([^`]+)` \| (?:`([^`]*)`|([^|]*)) \|/gm)];
    const documented = new Map(rows.map(([, name = '', value, words]) => [name, value ?? words]));
    const values = leaves(parse(await read('values.yaml')));
    expect([...documented.keys()].sort()).toEqual(values.map(([name]) => name).sort());
    for (const [name, value] of values) {
      const told = documented.get(name);
      if (told !== 'see values.yaml' && told !== 'by mode') expect(told, name).toBe(JSON.stringify(value));
    }
  });

  test('and schema know the same values, and the schema no others', async () => {
    interface Schema {
      readonly properties?: Readonly<Record<string, Schema>>;
      readonly additionalProperties?: unknown;
    }
    const known = (schema: Schema, above = ''): string[] =>
      Object.entries(schema.properties ?? {}).flatMap(([key, inner]) =>
        inner.properties === undefined || whole.test(`${above}${key}`)
          ? [`${above}${key}`]
          : known(inner, `${above}${key}.`),
      );
    const open = (schema: Schema, name = 'the top'): string[] => [
      ...(schema.properties !== undefined && schema.additionalProperties !== false ? [name] : []),
      ...Object.entries(schema.properties ?? {}).flatMap(([key, inner]) => open(inner, key)),
    ];
    const schema: Schema = JSON.parse(await read('values.schema.json'));
    const values = leaves(parse(await read('values.yaml'))).map(([name]) => name);
    expect(
      known(schema)
        .filter((name) => name !== 'global')
        .sort(),
    ).toEqual(values.sort());
    expect(open(schema)).toEqual([]);
  });

  test("has Shoal's version", async () => {
    const { version } = JSON.parse(await readFile(path.join(packageRoot, 'package.json'), 'utf8'));
    expect(parse(await read('Chart.yaml'))).toMatchObject({ version, appVersion: version });
  });
});

describe('values', () => {
  test.each([
    ['p2p.prot=65001', /\/p2p.*additional properties/],
    ['p2p.plusMode.cacheTtl=72h', /\/p2p\/plusMode.*additional properties/],
    ['acrInstance=cri-1', /additional properties/],
    ['p2p.port=70000', /\/p2p\/port/],
    ['p2p.v2.cache.mode=disc', /\/p2p\/v2\/cache\/mode/],
    ['p2p.plusMode.cacheTTL=3 days', /cacheTTL/],
    ['p2p.plusMode.cacheHostPath=data', /cacheHostPath/],
    ['p2p.plusMode.downloadPattern=peer', /downloadPattern/],
    ['p2p.plusMode.enable=yes', /enable.*boolean/],
    ['acrInstances=registry-1', /acrInstances/],
    ['accessKey=LTAI', /accessKeySecret/],
    ['accessKeySecret=x', /accessKey/],
    ['rrsa.enable=true', /rrsaRoleARN/],
    ['rrsa.expireDuration=60', /expireDuration/],
    ['certificates.source=secret', /secretName/],
    ['mirror.port=65001', /they must differ/],
    ['agent.resources.limit.memory=1Gi', /\/agent\/resources/],
  ])('refuses %s', async (set, message) => {
    await expect(renderChart({ set: [set] })).rejects.toThrow(message);
  });

  test('parses --set as Helm does', () => {
    expect(parseSet('a.b=1,c=x\\,y,d\\.e={1,z},f=,g=true,h=007,i=null')).toEqual({
      a: { b: 1 },
      c: 'x,y',
      'd.e': [1, 'z'],
      f: '',
      g: true,
      h: '007',
      i: null,
    });
    expect(() => parseSet('acrInstances=cri-1,cri-2')).toThrow('"cri-2" has no value');
  });
});
