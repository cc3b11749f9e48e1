import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startImageRegistry } from '../harness/image-registry.ts';
import { dataShares, imageOf } from '../harness/images.ts';
import { underCalls } from '../harness/kubelet-calls.ts';
import { Scope } from '../harness/scope.ts';
import {
  builtPackage,
  type DebianNode,
  kubeletOf,
  otherPackage,
  startKubelet,
  startSystemdNode,
  treesOf,
} from '../harness/systemd-node.ts';
import { waitFor } from '../harness/wait.ts';

// A Debian 12 with a real systemd and containerd, without Node, npm or a compiler.
const minutes = 60_000;
const app = imageOf(4 * 1024 * 1024, 3, dataShares);
const socket = 'run/shoal/shoal.sock';

let scope: Scope;
let node: DebianNode;
let shipped: string;
beforeEach(async () => {
  scope = new Scope();
  shipped = await builtPackage();
  node = await startSystemdNode(scope);
  await startKubelet(node);
}, 10 * minutes);
afterEach(() => scope.close());

const bootstrap = (folder: string, ...args: string[]) => node.runAnyway('/bin/sh', `${folder}/bootstrap.sh`, ...args);

const kubeletSays = (words: string): Promise<boolean> => kubeletOf(node, words);

async function install(folder = shipped): Promise<string> {
  const { code, stdout, stderr } = await bootstrap(folder, 'install');
  expect(`${stderr}${stdout}`).toContain('is installed');
  expect(code).toBe(0);
  return stdout;
}

/** How often the files of an installed package are read to the end, and their sums taken, while `work` is done. */
async function readings(work: () => Promise<unknown>): Promise<number> {
  const counting =
    '#!/bin/sh\ncase "$PWD $*" in /opt/shoal/*--check*) echo >>/tmp/readings ;; esac\nexec /usr/bin/sha256sum "$@"\n';
  const wrapper = path.join(node.root, 'usr/local/bin/sha256sum');
  await node.run('sh', '-c', ': >/tmp/readings');
  await writeFile(wrapper, counting, { mode: 0o755 });
  try {
    await work();
  } finally {
    await rm(wrapper);
  }
  return (await readFile(path.join(node.root, 'tmp/readings'), 'utf8')).length;
}

test('comes, comes again without a change, pulls, and goes without a trace', { timeout: 5 * minutes }, async () => {
  const registry = await startImageRegistry(scope, { app }, { prefix: node.network });
  await waitFor(() => kubeletSays('started with unix:///run/containerd/containerd.sock'), { what: 'the kubelet' });
  const before = await treesOf(node);

  const plan = await bootstrap(shipped, 'install', '--dry-run');
  expect(plan.stdout).toContain("would set the kubelet's image endpoint to unix:///run/shoal/shoal.sock");
  expect(await treesOf(node)).toBe(before);

  await install();
  await waitFor(() => kubeletSays('started with unix:///run/shoal/shoal.sock'), { what: 'the kubelet behind Shoal' });
  const status = await bootstrap('/opt/shoal/current', 'status');
  expect(status.stdout).not.toContain('WRONG');
  expect(status.code).toBe(0);
  const cri = node.cri(socket);
  await cri.pullImage(`${registry.host}/app:v1`);
  expect(await cri.imageStatus(`${registry.host}/app:v1`)).toBeDefined();
  const pullLine = async () =>
    (await node.run('journalctl', '--unit=shoal', '--output=cat'))
      .split('\n')
      .find((line) => line.includes('"msg":"pull"'));
  // Its bytes came through Shoal, and all of them from the registry.
  expect(JSON.parse(await waitFor(pullLine, { what: "the pull's line" }))).toMatchObject({
    result: 'ok',
    bytes: { peer: 0, disk: 0, origin: expect.any(Number) },
  });

  // The command that it brought agrees, and changes nothing.
  const doctor = await node.runAnyway('shoal', 'doctor', '--registry', registry.host);
  expect(doctor.stdout).not.toContain('PROBLEM');
  expect(doctor.stdout).toMatch(/ok +image endpoint +unix:\/\/\/run\/shoal\/shoal\.sock/);
  expect(doctor.stdout).toMatch(/ok +configuration +containerd asks 127\.0\.0\.1:65002/);
  expect(doctor.code).toBe(0);
  // Without root it says what it could not look at, and takes nothing hidden for missing.
  const asNobody = (...more: string[]) =>
    node.runAnyway(
      'setpriv',
      '--reuid=nobody',
      '--regid=nogroup',
      '--clear-groups',
      'shoal',
      'doctor',
      '--registry',
      registry.host,
      ...more,
    );
  expect((await asNobody()).stderr).toContain('/etc/shoal/config.yaml is not open to this user: run this as root');
  await node.run('install', '-m', '644', '/etc/shoal/config.yaml', '/tmp/open.yaml');
  const stranger = await asNobody('--config', '/tmp/open.yaml');
  expect(stranger.stdout).not.toContain('PROBLEM');
  expect(stranger.stdout).toMatch(/skipped +image socket +needs root/);
  expect(stranger.stdout).toMatch(/skipped +loopback secret +needs root/);
  expect(stranger.code).toBe(0);

  const installed = await treesOf(node);
  const again = await bootstrap(shipped, 'install');
  expect(again.stdout).toBe('');
  expect(await treesOf(node)).toBe(installed);

  // The watch does this every minute: the program is read again only when a file of it has changed.
  expect(await readings(() => bootstrap('/opt/shoal/current', 'install'))).toBeLessThanOrEqual(1);
  const looks = () => bootstrap('/opt/shoal/current', 'status');
  expect(await readings(() => bootstrap('/opt/shoal/current', 'install'))).toBe(0);
  expect(await readings(looks)).toBe(0);
  const change =
    'f=/opt/shoal/current/dist/main.js; touch -r $f /tmp/t; printf x | dd of=$f conv=notrunc; touch -r /tmp/t $f';
  await node.run('sh', '-c', change);
  expect(await readings(looks)).toBe(1);
  expect((await looks()).stdout).toMatch(/WRONG program/);
  expect((await bootstrap(shipped, 'install')).code).toBe(0);
  expect(await treesOf(node)).toBe(installed);
  expect((await looks()).stdout).not.toContain('WRONG');

  const gone = await bootstrap('/opt/shoal/current', 'uninstall');
  expect(await node.run('ls', '/run')).not.toContain('shoal');
  expect(gone.stdout).toContain('Shoal is gone');
  expect(await treesOf(node)).toBe(before);
  expect((await bootstrap(shipped, 'status')).code).toBe(2);
  await node.cri('run/containerd/containerd.sock').pullImage(`${registry.host}/app:v1`);
});

test('is upgraded under calls and pulls of which none fails; a broken version never takes over', {
  timeout: 5 * minutes,
}, async () => {
  const registry = await startImageRegistry(scope, { app }, { prefix: node.network });
  await install();
  const cri = node.cri(socket);
  const next = await otherPackage(node, shipped, '9.0.0');
  const upgrade = await underCalls(cri, `${registry.host}/app:v1`, async () => {
    const result = await bootstrap(next, 'upgrade');
    expect(result.stdout).toContain('Shoal 9.0.0 is in place');
  });
  expect(upgrade.failures).toEqual([]);
  expect(upgrade.pulls).toBeGreaterThan(0);
  expect(await node.run('/opt/shoal/current/bin/shoal', 'version')).toContain('9.0.0');

  const before = await treesOf(node);
  const broken = await otherPackage(node, shipped, '9.0.1', "if (process.argv[2] === 'agent') process.exit(1);");
  const attempt = await underCalls(cri, `${registry.host}/app:v1`, async () => {
    const result = await bootstrap(broken, 'upgrade');
    expect(result.stderr).toContain('version 9.0.1 failed: back to 9.0.0');
    expect(result.code).toBe(1);
  });
  expect(attempt.failures).toEqual([]);
  expect(await treesOf(node)).toBe(before);
  const right = async () => (await bootstrap('/opt/shoal/current', 'status')).code === 0;
  await waitFor(right, { what: 'the former version in order' });
});

test.each(['agent', 'engine'])(
  'a first installation whose %s fails is taken back; the kubelet never hears of it',
  { timeout: 5 * minutes },
  async (part) => {
    await waitFor(() => kubeletSays('started with unix:///run/containerd/containerd.sock'), { what: 'the kubelet' });
    const before = await treesOf(node);
    const broken = await otherPackage(node, shipped, '9.0.2', `if (process.argv[2] === '${part}') process.exit(1);`);
    const failed = await bootstrap(broken, 'install');
    expect(failed.stderr).toContain('everything is put back');
    expect(failed.code).toBe(1);
    expect(await treesOf(node)).toBe(before);
    expect(await kubeletSays('shoal.sock')).toBe(false);

    await writeFile(path.join(node.root, 'var/tmp/config.yaml'), 'mirror: { prt: 1 }\n');
    const wrong = await bootstrap(shipped, 'install', '--files', '/var/tmp');
    expect(wrong.stderr).toContain('did you mean port?');
    expect(wrong.code).toBe(78);
    expect(await treesOf(node)).toBe(before);
    expect(await readFile(path.join(node.root, 'var/lib/kubelet/config.yaml'), 'utf8')).not.toContain('shoal');
  },
);
