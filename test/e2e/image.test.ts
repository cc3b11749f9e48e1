import { afterAll, beforeAll, describe, expect, type TestContext, test } from 'vitest';
import { buildChartImages, type ChartImages, type ChartNode, startChartNode } from '../harness/chart-node.ts';
import { named, workloads } from '../harness/chart-objects.ts';
import { startImageRegistry } from '../harness/image-registry.ts';
import { dataShares, imageOf } from '../harness/images.ts';
import { underCalls } from '../harness/kubelet-calls.ts';
import type { Pod } from '../harness/pods.ts';
import { Scope } from '../harness/scope.ts';
import { kubeletOf, startKubelet, treesOf } from '../harness/systemd-node.ts';
import { waitFor } from '../harness/wait.ts';

// The image that deploy/image/Dockerfile makes, and the chart's pods with it, run by a node's own containerd and runc.
const minutes = 60_000;
const MiB = 1024 * 1024;
const next = '9.0.0';
const app = imageOf(4 * MiB, 3, dataShares);

const all = new Scope();
let images: ChartImages;
beforeAll(async () => {
  images = await buildChartImages(all, next);
}, 10 * minutes);
afterAll(() => all.close());

test('the image adds little more than the package to its base', () => {
  console.log(`the image adds ${(images.addedBytes / MiB).toFixed(1)} MiB to its base`);
  expect(images.addedBytes).toBeLessThan(60 * MiB);
});

async function startNode({ onTestFinished }: TestContext): Promise<{ scope: Scope; cluster: ChartNode }> {
  const scope = new Scope();
  onTestFinished(() => scope.close());
  const cluster = await startChartNode(scope, images);
  await cluster.pull(images.version);
  return { scope, cluster };
}

test.for(['scheduler', 'registry-mirror'])(
  'the %s runs as a user without rights',
  { timeout: 5 * minutes },
  async (role, context) => {
    const { cluster } = await startNode(context);
    const plus = ['p2p.plusMode.enable=true', `registryMirror.capacity=${128 * MiB}`];
    const rendered = await cluster.render(images.version, ...plus);
    const pod = await cluster.start(rendered, role, `${role}-0`);
    const ready = async (): Promise<boolean> => (await pod.log(role)).includes('ready"}');
    await waitFor(ready, { what: `a ready ${role}`, timeoutMs: minutes });
    const lines = (await pod.log(role)).split('\n').filter(Boolean);
    for (const line of lines) expect(JSON.parse(line).level).toBeLessThan(50);
    const process = await pod.exec(role, ['grep', '-E', '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):', '/proc/1/status']);
    expect(process.output.replace(/\s+/g, ' ').trim()).toBe(
      'Uid: 65532 65532 65532 65532 CapEff: 0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2',
    );
    expect((await pod.exec(role, ['shoal', 'version'])).output).toContain(`shoal ${images.version} `);
    expect(await pod.exec(role, ['touch', '/opt/shoal/x'])).toMatchObject({ code: 1 });
    await pod.delete();
  },
);

/** What happens to an installation, and the commands by which it happens here. */
const damages = {
  'files that others wrote anew or changed': [
    // As `kubeadm upgrade` does.
    'sed -i /shoal/d /var/lib/kubelet/config.yaml',
    'systemctl restart kubelet',
    'rm -r /etc/containerd/certs.d',
    'sed -i s/^CPUQuota=.*/CPUQuota=1%/ /etc/systemd/system/shoal.service',
    'rm /etc/systemd/system/shoal.service.d/node.conf',
    'systemctl daemon-reload',
  ],
  'an agent that was stopped for good': ['systemctl disable --now shoal.socket shoal.service'],
  'units and a part of the program that were removed': [
    'systemctl stop shoal.socket shoal.service',
    'rm -r /etc/systemd/system/shoal.* /opt/shoal/current/dist/main.js',
    'systemctl daemon-reload',
  ],
  'a configuration and the link to the version that were removed': ['rm /etc/shoal/config.yaml /opt/shoal/current'],
};

// Both mostly wait: for the installer's next look, and for a kubelet to live through its start.
describe.concurrent("the chart's installer", () => {
  const setUp = async (context: TestContext) => {
    const { scope, cluster } = await startNode(context);
    const { node } = cluster;
    let installer: Pod | undefined;
    const say = async (): Promise<string> => (await installer?.log('node')) ?? '';
    const soon = async (what: string, probe: () => Promise<boolean>): Promise<void> => {
      await waitFor(probe, { what, timeoutMs: 2 * minutes, intervalMs: 250 }).catch(async (error: Error) => {
        throw new Error(`${error.message}\n--- the installer said:\n${await say()}`);
      });
    };
    /** As the DaemonSet replaces its pod. */
    const rollOut = async (version: string, labels = {}): Promise<void> => {
      await installer?.delete();
      const rendered = await cluster.render(version, 'agent.interval=5');
      installer = await cluster.start(rendered, 'agent', `agent-${version}`, labels);
      const { containers } = named(workloads(rendered), '-agent').spec.template.spec;
      const probe = containers.find(({ name }) => name === 'node')?.readinessProbe?.exec.command ?? [];
      await soon('a ready pod', async () => (await installer?.exec('node', probe))?.code === 0);
    };
    const status = () => node.runAnyway('/bin/sh', '/opt/shoal/current/bootstrap.sh', 'status');
    const kubeletIs = (socket: string): Promise<void> =>
      soon(`a kubelet at ${socket}`, () => kubeletOf(node, `started with unix://${socket}`));
    await startKubelet(node);
    await kubeletIs('/run/containerd/containerd.sock');
    return { scope, cluster, node, say, soon, rollOut, status, kubeletIs, remove: async () => installer?.delete() };
  };

  test('puts Shoal on the node, and mends what happens to it', { timeout: 10 * minutes }, async (context) => {
    const { node, say, soon, rollOut, status, kubeletIs } = await setUp(context);
    await rollOut(images.version);
    await kubeletIs('/run/shoal/shoal.sock');
    expect((await status()).stdout).not.toContain('WRONG');
    expect(await node.run('cat', '/etc/shoal/config.yaml')).toContain('id: "node-1"');
    expect(await node.run('cat', '/etc/shoal/kubernetes-token')).toBe('a-token');
    const installed = await treesOf(node);
    // Made anew with every reading of the whole program, by the pod or by the node.
    const reading = () => node.runAnyway('stat', '--format=%i %z', '/run/shoal-bootstrap.right');
    await soon('a first reading of the program', async () => (await reading()).code === 0);
    for (const [what, commands] of Object.entries(damages)) {
      const before = await reading();
      await node.run('sh', '-ec', commands.join('\n'));
      await soon(what, async () => (await treesOf(node)) === installed && (await status()).code === 0);
      const touched = commands.some((command) => command.includes('/opt/shoal/current/dist'));
      expect((await reading()).stdout === before.stdout, what).toBe(!touched);
    }
    expect(await say()).not.toContain('put back');
  });

  test('upgrades it under calls of which none fails, and takes the node back', {
    timeout: 10 * minutes,
  }, async (context) => {
    const { scope, cluster, node, say, soon, rollOut, status, kubeletIs, remove } = await setUp(context);
    const registry = await startImageRegistry(scope, { app }, { prefix: node.network });
    const before = await treesOf(node);
    await rollOut(images.version);
    await kubeletIs('/run/shoal/shoal.sock');
    await cluster.pull(next);
    const calls = await underCalls(node.cri('run/shoal/shoal.sock'), `${registry.host}/app:v1`, async () => {
      await rollOut(next);
      await soon(next, async () => (await status()).code === 0);
    });
    expect(calls.failures).toEqual([]);
    expect(calls.pulls).toBeGreaterThan(0);
    expect(await node.run('/opt/shoal/current/bin/shoal', 'version')).toContain(next);

    await rollOut(next, { 'shoal-node': 'removed' });
    expect(await say()).toContain('Shoal is gone');
    await remove();
    expect(await treesOf(node)).toBe(before);
    await cluster.cri.pullImage(`${registry.host}/app:v1`);
  });
});
