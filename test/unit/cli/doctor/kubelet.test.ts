import { utimes } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { flag } from '../../../../src/cli/doctor/flags.ts';
import { isSocket, judgeKubelet } from '../../../../src/cli/doctor/kubelet.ts';
import { readKubelet } from '../../../../src/cli/doctor/kubelet-facts.ts';
import { type FakeTree, fakeTree } from '../../../harness/fake-tree.ts';
import { Scope } from '../../../harness/scope.ts';

const listen = '/run/shoal/shoal.sock';
const ours = `unix://${listen}`;
const config = '/var/lib/kubelet/config.yaml';
const kubelet = ['/usr/bin/kubelet', `--config=${config}`];

let scope: Scope;
let tree: FakeTree;
beforeEach(async () => {
  scope = new Scope();
  tree = await fakeTree(scope);
});
afterEach(() => scope.close());

const judged = async () => judgeKubelet(await readKubelet(tree.root), listen);

describe('a kubelet that runs', () => {
  test('is right with the endpoint in its file, its drop-in or its flag', async () => {
    await tree.addProcess(7, kubelet);
    await tree.put(config, `kind: KubeletConfiguration\nimageServiceEndpoint: ${ours}\n`);
    expect(await judged()).toEqual([{ about: 'image endpoint', level: 'ok', says: `${ours} (${config})` }]);

    await tree.addProcess(6, ['kubelet', `--config=${config}`, '--config-dir', '/etc/kubelet.d']);
    await tree.put(config, 'imageServiceEndpoint: unix:///elsewhere.sock\n');
    await tree.put('/etc/kubelet.d/10-a.conf', '{"imageServiceEndpoint": "unix:///other.sock"}');
    await tree.put('/etc/kubelet.d/90-shoal.conf', `imageServiceEndpoint: ${ours}\n`);
    await tree.put('/etc/kubelet.d/99-note.txt', 'imageServiceEndpoint: unix:///ignored.sock\n');
    expect(await judged()).toMatchObject([{ level: 'ok', says: `${ours} (/etc/kubelet.d/90-shoal.conf)` }]);

    await tree.addProcess(5, [...kubelet, '--image-service-endpoint', ours]);
    expect(await judged()).toMatchObject([{ level: 'ok', says: `${ours} (flag of process 5)` }]);
  });

  test('without one is a problem, and the mend names the file', async () => {
    await tree.addProcess(7, kubelet);
    await tree.put(config, 'kind: KubeletConfiguration\n');
    const [finding] = await judged();
    expect(finding).toMatchObject({ level: 'problem' });
    expect(finding?.mend).toContain(`imageServiceEndpoint: ${ours} in ${config}`);
  });

  test('is a warning where Shoal was installed for its mirror alone', async () => {
    await tree.addProcess(7, kubelet);
    await tree.put(config, 'kind: KubeletConfiguration\n');
    await tree.put('/opt/shoal/state/runtime', 'containerd\n');
    expect(await judged()).toMatchObject([{ level: 'warning', says: expect.stringContaining('--kubelet none') }]);
    await tree.put('/opt/shoal/state/kubelet', 'config x y\n');
    expect(await judged()).toMatchObject([{ level: 'problem' }]);
  });

  test('with another image service is a problem that names it', async () => {
    await tree.addProcess(7, kubelet);
    await tree.put(config, 'imageServiceEndpoint: unix:///run/nydus.sock\n');
    expect(await judged()).toMatchObject([
      { level: 'problem', says: expect.stringContaining('unix:///run/nydus.sock') },
    ]);
  });

  test('that was not restarted since is found out, by its flag and by its file', async () => {
    await tree.addProcess(7, kubelet);
    await tree.put(config, 'kind: KubeletConfiguration\n');
    await tree.put('/etc/default/kubelet', `# ours\nKUBELET_EXTRA_ARGS="--v=2 --image-service-endpoint=${ours}"\n`);
    expect(await judged()).toMatchObject([{ level: 'problem', mend: 'systemctl restart kubelet' }]);

    await tree.put(config, `imageServiceEndpoint: ${ours}\n`);
    await tree.put('proc/stat', 'cpu 1 2 3\nbtime 1700000000\n');
    const stat = (ticks: number) => `7 (kube (let)) S ${'0 '.repeat(18)}${ticks} 0 0`;
    const changed = new Date(1_700_000_100_000);
    await utimes(path.join(tree.root, config), changed, changed);
    await tree.put('proc/7/stat', stat(5_000));
    expect(await judged()).toMatchObject([{ level: 'warning', mend: 'systemctl restart kubelet' }]);
    await tree.put('proc/7/stat', stat(20_000));
    expect(await judged()).toMatchObject([{ level: 'ok' }]);
  });

  test('whose runtime endpoint is Shoal can start no pod', async () => {
    await tree.addProcess(7, [...kubelet, `--container-runtime-endpoint=${ours}`]);
    await tree.put(config, `imageServiceEndpoint: ${ours}\n`);
    expect(await judged()).toMatchObject([{ about: 'runtime endpoint', level: 'problem' }, { level: 'ok' }]);
  });
});

describe('k3s and RKE2', () => {
  const folder = '/etc/rancher/k3s/config.yaml.d';

  test('have it in their own files, of which a later one may take it away', async () => {
    // How k3s names its process.
    await tree.addProcess(3, ['/usr/local/bin/k3s server']);
    await tree.put(`${folder}/90-shoal.yaml`, `kubelet-arg+:\n  - image-service-endpoint=${ours}\n`);
    expect(await judged()).toMatchObject([{ level: 'ok', says: `${ours} (${folder}/90-shoal.yaml)` }]);
    await tree.put(`${folder}/95-theirs.yaml`, 'kubelet-arg:\n  - max-pods=10\n');
    const [finding] = await judged();
    expect(finding).toMatchObject({ level: 'problem' });
    expect(finding?.mend).toContain('/etc/rancher/k3s/config.yaml.d/90-shoal.yaml');
  });

  test('RKE2 starts a kubelet with flags', async () => {
    await tree.addProcess(9, [
      'kubelet',
      '--root-dir=/var/lib/rancher/rke2/kubelet',
      `--image-service-endpoint=${ours}`,
    ]);
    expect(await judged()).toMatchObject([{ level: 'ok', says: `${ours} (flag of process 9)` }]);
  });
});

test('without a kubelet its files are looked at, and without any of them there is nothing to say', async () => {
  expect(await judged()).toMatchObject([{ level: 'skipped' }]);
  await tree.put(config, `imageServiceEndpoint: ${ours}\n`);
  expect(await judged()).toMatchObject([{ about: 'kubelet', level: 'warning' }, { level: 'ok' }]);
});

test('a file that is no YAML is named', async () => {
  await tree.addProcess(7, kubelet);
  await tree.put(config, 'imageServiceEndpoint: [\n');
  expect(await judged()).toMatchObject([{ about: `file ${config}`, level: 'skipped' }, { level: 'problem' }]);
});

test.each([
  [ours, true],
  [listen, true],
  ['unix:/run/shoal/shoal.sock', true],
  ['unix:///var/run/shoal/shoal.sock', true],
  ['unix:///run/shoal/shoal.sock2', false],
  [undefined, false],
])('%s is Shoal: %s', (endpoint, expected) => {
  expect(isSocket(endpoint, listen)).toBe(expected);
});

test('of a flag that is repeated the last one counts', () => {
  expect(flag(['a', '--x', '1', '--x=2', '--xy=3'], 'x')).toBe('2');
  expect(flag(['--xy=3'], 'x')).toBeUndefined();
  expect(flag(['-c', '/a=b', '-a=1'], 'config', 'c')).toBe('/a=b');
});
