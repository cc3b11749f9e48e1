import { stat } from 'node:fs/promises';
import path from 'node:path';
import { startImageRegistry } from '../test/harness/image-registry.ts';
import { dataShares, imageOf } from '../test/harness/images.ts';
import { underCalls } from '../test/harness/kubelet-calls.ts';
import type { Scope } from '../test/harness/scope.ts';
import {
  builtPackage,
  type DebianNode,
  installUnderInit,
  otherPackage,
  startKubelet,
  startPlainNode,
  startSystemdNode,
} from '../test/harness/systemd-node.ts';
import { main } from './harness/main.ts';
import { MiB, seconds } from './harness/stats.ts';

const app = imageOf(4 * MiB, 3, dataShares);

/** Installs the package on a Debian 12 and upgrades it there, while a kubelet calls and pulls: with systemd, and without. */
await main('bench-install', async (scope) => {
  const shipped = await builtPackage();
  const { size } = await stat(path.join(import.meta.dirname, '..', path.relative('/src', `${shipped}.tar.gz`)));
  console.log('booting a node (the first time: making a Debian 12)');
  const node = await startSystemdNode(scope);
  await startKubelet(node);
  const install = await seconds(() => node.run('/bin/sh', `${shipped}/bootstrap.sh`, 'install'));
  console.log(`installed in ${install.toFixed(1)} s, 10 s of which watch the restarted kubelet`);
  const downtime = await upgrade(scope, node, shipped);
  console.log('booting a node without systemd, whose init starts the agent again one second after its end');
  const plain = await startPlainNode(scope);
  await installUnderInit(plain, shipped);
  await upgrade(scope, plain, shipped, '--kubelet', 'none');
  return `bench-install: install ${install.toFixed(1)} s, upgrade downtime ${downtime} ms, package ${(size / MiB).toFixed(1)} MiB`;
});

/** Upgrades it under calls. Gives the milliseconds that the longest one waited. */
async function upgrade(scope: Scope, node: DebianNode, shipped: string, ...options: string[]): Promise<number> {
  const registry = await startImageRegistry(scope, { app }, { prefix: node.network });
  const next = await otherPackage(node, shipped, '9.0.0');
  const calls = await underCalls(node.cri('run/shoal/shoal.sock'), `${registry.host}/app:v1`, () =>
    node.run('/bin/sh', `${next}/bootstrap.sh`, 'upgrade', ...options),
  );
  if (calls.failures.length > 0) throw new Error(`calls failed during the upgrade:\n${calls.failures.join('\n')}`);
  const downtime = Math.round(calls.longestMs);
  console.log(
    `upgraded during ${calls.answered} calls, ${calls.pulls} of them pulls; none failed, the longest waited ${downtime} ms`,
  );
  return downtime;
}
