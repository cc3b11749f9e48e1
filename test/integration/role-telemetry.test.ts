import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { entry } from '../harness/entry.ts';
import { parseMetrics } from '../harness/metrics.ts';
import { freePort } from '../harness/ports.ts';
import { start } from '../harness/process.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

const MiB = 1024 * 1024;

let scope: Scope;
beforeEach(() => {
  scope = new Scope();
});
afterEach(() => scope.close());

/** Starts a role as the only one of its kind, beside an agent that is not there. Gives where its telemetry is. */
async function startRole(role: 'mirror' | 'scheduler'): Promise<string> {
  const folder = await temporaryFolder(scope, role);
  const [port, absent, telemetry] = [await freePort(), await freePort(), await freePort()];
  const config = path.join(folder, 'config.yaml');
  await writeFile(
    config,
    JSON.stringify({
      stateDir: path.join(folder, 'state'),
      runDir: path.join(folder, 'run'),
      telemetry: { port: telemetry },
      p2p: {
        port,
        tls: 'off',
        membership: { source: 'static', agents: [`127.0.0.1:${absent}`], [`${role}s`]: [`127.0.0.1:${port}`] },
        v2: { cache: { mode: 'memory', optionBlockSize: 64 * MiB } },
      },
    }),
  );
  const running = await start(scope, `shoal ${role}`, [process.execPath, entry, role, '--config', config]);
  await running.until(() => running.output.includes(`"msg":"${role} ready"`), { what: 'a ready role' });
  return `http://127.0.0.1:${telemetry}`;
}

test('a mirror tells of its cache and of the swarm, and of no pulls', async () => {
  const url = await startRole('mirror');
  const metrics = parseMetrics(await (await fetch(`${url}/metrics`)).text());
  expect(metrics.value('shoal_engine_up')).toBe(1);
  expect(metrics.value('shoal_cache_capacity_bytes', { tier: 'memory' })).toBe(64 * MiB);
  expect(metrics.value('shoal_upload_bytes_total')).toBe(0);
  expect(metrics.types.has('shoal_pull_bytes_total')).toBe(false);
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
});

test('a scheduler tells of its shard, and has no cache', async () => {
  const url = await startRole('scheduler');
  const metrics = parseMetrics(await (await fetch(`${url}/metrics`)).text());
  expect(metrics.value('shoal_directory_entries', { kind: 'pieces' })).toBe(0);
  expect(metrics.types.has('shoal_cache_pieces')).toBe(false);
  const peers = (await (await fetch(`${url}/api/peers`)).json()) as { readonly self: boolean }[];
  expect(peers).toHaveLength(2);
  expect(peers.filter(({ self }) => self)).toHaveLength(1);
});
