import { afterEach, beforeEach, expect, test } from 'vitest';
import { startImageRegistry } from '../harness/image-registry.ts';
import { dataShares, imageOf } from '../harness/images.ts';
import { underCalls } from '../harness/kubelet-calls.ts';
import { Scope } from '../harness/scope.ts';
import { builtPackage, installUnderInit, otherPackage, startPlainNode } from '../harness/systemd-node.ts';

// A Debian 12 without systemd, whose init runs the agent and starts it again when it ends.
const minutes = 60_000;
const app = imageOf(4 * 1024 * 1024, 3, dataShares);

let scope: Scope;
beforeEach(() => {
  scope = new Scope();
});
afterEach(() => scope.close());

test('without systemd it is upgraded under calls and pulls of which none fails; a broken version never stays', {
  timeout: 10 * minutes,
}, async () => {
  const node = await startPlainNode(scope);
  const registry = await startImageRegistry(scope, { app }, { prefix: node.network });
  const shipped = await builtPackage();
  await installUnderInit(node, shipped);
  const cri = node.cri('run/shoal/shoal.sock');
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
