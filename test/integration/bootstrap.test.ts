import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { packageFolder, packageName } from '../harness/package.ts';
import { run, runAnyway } from '../harness/process.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

// Systems that do not run: what is written where, and that it goes again. The running one is in e2e/install.test.ts.

let scope: Scope;
let root: string;
let script: string;
beforeEach(async () => {
  scope = new Scope();
  root = await temporaryFolder(scope, 'root');
  script = path.join(packageFolder, await packageName(), 'bootstrap.sh');
});
afterEach(() => scope.close());

const bootstrap = (...args: string[]) => runAnyway(['dash', script, ...args, '--root', root]);

async function put(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(root, name)), { recursive: true });
    await writeFile(path.join(root, name), text, { mode: 0o640 });
  }
}

const read = (name: string): Promise<string> => readFile(path.join(root, name), 'utf8');

const tree = (): Promise<string> =>
  run([
    'sh',
    '-c',
    `cd ${root} && find . -printf '%p %y %m %l\n' | sort && find . -type f -exec sha256sum {} + | sort`,
  ]);

const kubeadm = 'kind: KubeletConfiguration\ncontainerRuntimeEndpoint: ""\n';
const layouts = [
  {
    name: 'containerd and kubeadm',
    files: { 'etc/containerd/config.toml': 'version = 2\n', 'var/lib/kubelet/config.yaml': kubeadm },
    kubelet: ['var/lib/kubelet/config.yaml', 'imageServiceEndpoint: unix:///run/shoal/shoal.sock'],
    mirror: 'etc/containerd/certs.d/_default/hosts.toml',
  },
  {
    name: 'containerd and a file that does not end its last line',
    files: { 'etc/containerd/config.toml': '', 'var/lib/kubelet/config.yaml': 'kind: KubeletConfiguration' },
    kubelet: ['var/lib/kubelet/config.yaml', '\nimageServiceEndpoint: unix:///run/shoal/shoal.sock'],
    mirror: 'etc/containerd/certs.d/_default/hosts.toml',
  },
  {
    name: "CRI-O and the kubelet's flags in quotes",
    files: { 'etc/crio/crio.conf': '', 'etc/sysconfig/kubelet': 'A=1\nKUBELET_EXTRA_ARGS="--v=2"\n' },
    kubelet: ['etc/sysconfig/kubelet', '"--v=2 --image-service-endpoint=unix:///run/shoal/shoal.sock"'],
    mirror: 'etc/containers/registries.conf.d/shoal.conf',
  },
  {
    name: "containerd and the kubelet's flags without quotes",
    files: { 'etc/containerd/config.toml': '', 'etc/default/kubelet': 'KUBELET_EXTRA_ARGS=' },
    kubelet: ['etc/default/kubelet', '"--image-service-endpoint=unix:///run/shoal/shoal.sock"'],
    mirror: 'etc/containerd/certs.d/_default/hosts.toml',
  },
  {
    name: 'k3s',
    files: { 'etc/rancher/k3s/config.yaml': 'kubelet-arg:\n  - v=2\n' },
    kubelet: [
      'etc/rancher/k3s/config.yaml.d/90-shoal.yaml',
      'kubelet-arg+:\n  - image-service-endpoint=unix:///run/shoal/',
    ],
    mirror: 'var/lib/rancher/k3s/agent/etc/containerd/certs.d/_default/hosts.toml',
  },
  {
    name: 'RKE2',
    files: { 'etc/rancher/rke2/config.yaml': 'token: x\n' },
    kubelet: [
      'etc/rancher/rke2/config.yaml.d/90-shoal.yaml',
      'kubelet-arg+:\n  - image-service-endpoint=unix:///run/shoal/',
    ],
    mirror: 'var/lib/rancher/rke2/agent/etc/containerd/certs.d/_default/hosts.toml',
  },
] as const;

describe.each(layouts)('$name', ({ files, kubelet: [file, line], mirror }) => {
  test('install, install again, status, uninstall without a trace', { timeout: 180_000 }, async () => {
    await put(files);
    const before = await tree();
    const first = await bootstrap('install');
    expect(first.stderr).toBe('');
    expect(first.code).toBe(0);
    expect(await read(file)).toContain(line);
    expect(await read(mirror)).toContain('127.0.0.1:65002');
    expect(await read('etc/systemd/system/shoal.service')).toContain('NoNewPrivileges=yes');

    const installed = await tree();
    expect((await bootstrap('install')).code).toBe(0);
    expect(await tree()).toBe(installed);
    expect((await bootstrap('status')).stdout).not.toContain('WRONG');

    expect((await bootstrap('uninstall')).code).toBe(0);
    expect(await tree()).toBe(before);
  });
});

describe('what an administrator wrote', () => {
  const files = { 'etc/containerd/config.toml': 'version = 2\n', 'var/lib/kubelet/config.yaml': kubeadm };

  test('is kept: a configuration, and lines that came into the kubelet file meanwhile', {
    timeout: 180_000,
  }, async () => {
    await put({ ...files, 'etc/shoal/config.yaml': 'log: { level: warn }\n' });
    const given = await temporaryFolder(scope, 'files');
    await writeFile(path.join(given, 'config.yaml'), 'log: { level: debug }\n');
    await writeFile(path.join(given, 'ca.pem'), 'a certificate');
    const installed = await bootstrap('install', '--files', given);
    expect(installed.stderr).toContain('/etc/shoal/config.yaml was changed on this node and is kept');
    expect(await read('etc/shoal/config.yaml')).toBe('log: { level: warn }\n');
    expect(await read('etc/shoal/ca.pem')).toBe('a certificate');

    await writeFile(
      path.join(root, 'var/lib/kubelet/config.yaml'),
      `${await read('var/lib/kubelet/config.yaml')}v: 1\n`,
    );
    await bootstrap('uninstall');
    expect(await read('var/lib/kubelet/config.yaml')).toBe(`${kubeadm}v: 1\n`);
    expect(await read('etc/shoal/config.yaml')).toBe('log: { level: warn }\n');
  });

  test('is not overruled: another image service is refused before anything is changed', async () => {
    const text = `${kubeadm}imageServiceEndpoint: unix:///run/other.sock\n`;
    await put({ ...files, 'var/lib/kubelet/config.yaml': text });
    const before = await tree();
    const { code, stderr } = await bootstrap('install');
    expect(stderr).toContain('names another image service');
    expect(code).toBe(3);
    expect(await tree()).toBe(before);
  });
});

test('a damaged package is refused', async () => {
  const copy = path.join(await temporaryFolder(scope, 'damaged'), 'package');
  await run(['cp', '-R', path.dirname(script), copy]);
  await writeFile(path.join(copy, 'proto/cri.proto'), '// changed\n');
  const { code, stderr } = await runAnyway(['dash', path.join(copy, 'bootstrap.sh'), 'install', '--root', root]);
  expect(stderr).toContain('damaged');
  expect(code).toBe(3);
});

test('the scripts are plain POSIX', async () => {
  const folder = path.resolve(import.meta.dirname, '../../deploy/node');
  const scripts =
    'cd "$1" && shellcheck --external-sources --shell=sh --exclude=SC1091,SC2016 bootstrap.sh bootstrap/*.sh shoal';
  await run(['sh', '-c', scripts, 'sh', folder]);
});
