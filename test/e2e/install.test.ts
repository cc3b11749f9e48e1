import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, type TestContext, test } from 'vitest';
import { startImageRegistry } from '../harness/image-registry.ts';
import { dataShares, imageOf } from '../harness/images.ts';
import { underCalls } from '../harness/kubelet-calls.ts';
import { Scope } from '../harness/scope.ts';
import {
  builtPackage,
  type DebianNode,
  installUnderInit,
  kubeletOf,
  otherPackage,
  startKubelet,
  startPlainNode,
  startSystemdNode,
  treesOf,
} from '../harness/systemd-node.ts';
import { waitFor } from '../harness/wait.ts';

// A Debian 12 with a real systemd and containerd, without Node, npm or a compiler.
const minutes = 60_000;
const app = imageOf(4 * 1024 * 1024, 3, dataShares);
const socket = 'run/shoal/shoal.sock';

/** A node of the test's own: the tests mostly wait for a kubelet to live through its start, and do that side by side. */
async function setUp({ onTestFinished }: TestContext) {
  const scope = new Scope();
  onTestFinished(() => scope.close());
  const shipped = await builtPackage();
  const node = await startSystemdNode(scope);
  await startKubelet(node);
  const bootstrap = (folder: string, ...args: string[]) => node.runAnyway('/bin/sh', `${folder}/bootstrap.sh`, ...args);
  const kubeletSays = (words: string): Promise<boolean> => kubeletOf(node, words);
  const install = async (folder = shipped): Promise<string> => {
    const { code, stdout, stderr } = await bootstrap(folder, 'install');
    expect(`${stderr}${stdout}`).toContain('is installed');
    expect(code).toBe(0);
    return stdout;
  };
  return { scope, node, shipped, bootstrap, kubeletSays, install };
}

/** How often the files of an installed package are read to the end, and their sums taken, while `work` is done. */
async function readings(node: DebianNode, work: () => Promise<unknown>): Promise<number> {
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

test.concurrent('comes, comes again without a change, pulls, and goes without a trace', {
  timeout: 15 * minutes,
}, async (context) => {
  const { scope, node, shipped, bootstrap, kubeletSays, install } = await setUp(context);
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
  expect(await readings(node, () => bootstrap('/opt/shoal/current', 'install'))).toBeLessThanOrEqual(1);
  const looks = () => bootstrap('/opt/shoal/current', 'status');
  expect(await readings(node, () => bootstrap('/opt/shoal/current', 'install'))).toBe(0);
  expect(await readings(node, looks)).toBe(0);
  const change =
    'f=/opt/shoal/current/dist/main.js; touch -r $f /tmp/t; printf x | dd of=$f conv=notrunc; touch -r /tmp/t $f';
  await node.run('sh', '-c', change);
  expect(await readings(node, looks)).toBe(1);
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

test.concurrent('is upgraded under calls and pulls of which none fails; a broken version never takes over', {
  timeout: 15 * minutes,
}, async (context) => {
  const { scope, node, shipped, bootstrap, install } = await setUp(context);
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

test.concurrent.for(['agent', 'engine'])(
  'a first installation whose %s fails is taken back; the kubelet never hears of it',
  { timeout: 15 * minutes },
  async (part, context) => {
    const { node, shipped, bootstrap, kubeletSays } = await setUp(context);
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

// A Debian 12 without systemd, whose init runs the agent and starts it again when it ends.
test.concurrent('without systemd it is upgraded under calls and pulls of which none fails; a broken version never stays', {
  timeout: 15 * minutes,
}, async ({ onTestFinished }) => {
  const scope = new Scope();
  onTestFinished(() => scope.close());
  const node = await startPlainNode(scope);
  const registry = await startImageRegistry(scope, { app }, { prefix: node.network });
  const shipped = await builtPackage();
  await installUnderInit(node, shipped);
  const cri = node.cri(socket);
  const upgradeTo = async (folder: string) => {
    const result = { stdout: '', stderr: '', code: -1 as number | null };
    const calls = await underCalls(cri, `${registry.host}/app:v1`, async () => {
      Object.assign(result, await node.runAnyway('/bin/sh', `${folder}/bootstrap.sh`, 'upgrade', '--kubelet', 'none'));
    });
    expect(calls.failures).toEqual([]);
    expect(calls.pulls).toBeGreaterThan(0);
    return { ...calls, ...result };
  };
  const programs = () => node.run('sh', '-c', 'readlink /proc/[0-9]*/exe | grep ^/opt/shoal | sort | uniq -c');
  const two = (version: string): RegExp => new RegExp(`^ *2 /opt/shoal/${version}/bin/node\n$`);

  const upgrade = await upgradeTo(await otherPackage(node, shipped, '9.0.0'));
  console.log(`the longest of ${upgrade.answered} calls waited ${Math.round(upgrade.longestMs)} ms`);
  expect(upgrade.stderr).not.toMatch(/bootstrap|sed|sh:/);
  expect(upgrade.stdout).toMatch(/^Shoal 9\.0\.0 is in place \(before: .*\)\n$/);
  expect(upgrade.code).toBe(0);
  // Supervisor and engine; no bridge is left.
  expect(await programs()).toMatch(two('9.0.0'));

  // It never gets to the socket: the agent that runs is left alone.
  const mute = "if (process.argv[2] === 'agent') process.exit(1);";
  const refused = await upgradeTo(await otherPackage(node, shipped, '9.0.1', mute));
  expect(refused.stderr).toContain('version 9.0.1 failed: back to 9.0.0');
  expect(refused.code).toBe(1);
  expect(await programs()).toMatch(two('9.0.0'));

  // Its agent ends at every start, while its bridge answers.
  const mortal = "if (process.argv[2] === 'agent' && process.argv[3] === undefined) process.exit(1);";
  const failed = await upgradeTo(await otherPackage(node, shipped, '9.0.2', mortal));
  expect(failed.stderr).toContain('no agent has come');
  expect(failed.stderr).toContain('version 9.0.2 failed: back to 9.0.0');
  expect(failed.code).toBe(1);
  expect(await programs()).toMatch(two('9.0.0'));
  expect(await node.run('/bin/sh', '/opt/shoal/current/bootstrap.sh', 'status', '--kubelet', 'none')).not.toContain(
    'WRONG',
  );
});
