import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { pathOfRegistry } from '../../src/config/path-registry.ts';
import { type Containerd, startContainerd } from '../harness/containerd.ts';
import { entry } from '../harness/entry.ts';
import { startImageRegistry } from '../harness/image-registry.ts';
import { dataShares, imageOf } from '../harness/images.ts';
import { run } from '../harness/process.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

/** A registry that doesn't exist (RFC 2606): what comes from it came through the configuration. */
const registry = 'registry.example.test';
const app = imageOf(256 * 1024, 2, dataShares);

let scope: Scope;
beforeEach(() => {
  scope = new Scope();
});
afterEach(() => scope.close());

async function configure(stateDir: string, port: number, ...args: string[]): Promise<string> {
  const set = ['--set', `stateDir=${stateDir}`, '--set', `mirror.port=${port}`];
  return run([process.execPath, entry, 'runtime', 'configure', ...set, ...args]);
}

async function configureContainerd(containerd: Containerd, stateDir: string, port: number, ...args: string[]) {
  const where = ['--containerd-config', containerd.configFile];
  return configure(stateDir, port, '--runtime', 'containerd', ...where, ...args);
}

/** A server in the mirror's place that has nothing, and the requests that it got. */
async function emptyMirror(): Promise<{ port: number; requests: IncomingMessage[] }> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    response.writeHead(404).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.defer(() => server.close().closeAllConnections());
  return { port: (server.address() as AddressInfo).port, requests };
}

test('containerd asks the mirror for every registry, at once and without a restart', async () => {
  const containerd = await startContainerd(scope);
  const origin = await startImageRegistry(scope, { app });
  const stateDir = await temporaryFolder(scope, 'state');
  const said = await configureContainerd(containerd, stateDir, Number(new URL(origin.url).port));
  expect(said).toContain(`wrote ${containerd.certsFolder}/_default/hosts.toml`);
  expect(said).not.toContain('to do');
  await containerd.cri.pullImage(`${registry}/app:v1`);
  expect(await containerd.cri.imageStatus(`${registry}/app:v1`)).toBeDefined();
});

test("containerd sends the mirror the loopback secret, and goes by the administrator's own settings after it", async () => {
  const containerd = await startContainerd(scope);
  const origin = await startImageRegistry(scope, { app });
  const stateDir = await temporaryFolder(scope, 'state');
  const hostsToml = path.join(containerd.certsFolder, '_default/hosts.toml');
  const written = `# ours\n[host."${origin.url}"]\n  capabilities = ["pull", "resolve"]\n`;
  await mkdir(path.dirname(hostsToml), { recursive: true });
  await writeFile(hostsToml, written);
  const { port, requests } = await emptyMirror();
  await configureContainerd(containerd, stateDir, port);

  await containerd.cri.pullImage(`${registry}/app:v1`);
  const secret = (await readFile(path.join(stateDir, 'loopback-secret'), 'utf8')).trim();
  expect(requests.length).toBeGreaterThan(0);
  for (const { headers, url } of requests) {
    expect(headers['x-shoal-secret']).toBe(secret);
    expect(new URL(url ?? '', 'http://mirror').searchParams.get('ns')).toBe(registry);
  }

  await configureContainerd(containerd, stateDir, port, '--undo');
  expect(await readFile(hostsToml, 'utf8')).toBe(written);
  const before = requests.length;
  await containerd.cri.removeImage(`${registry}/app:v1`);
  await containerd.cri.pullImage(`${registry}/app:v1`);
  expect(requests.length).toBe(before);
});

test('a containerd without config_path is told the lines that make it ask the mirror', async () => {
  const containerd = await startContainerd(scope);
  const stateDir = await temporaryFolder(scope, 'state');
  const complete = await readFile(containerd.configFile, 'utf8');
  const withoutPath = complete.replace(/^.*registry\]\n.*config_path = .*\n/m, '');
  expect(withoutPath).not.toBe(complete);
  await writeFile(containerd.configFile, withoutPath);
  const said = await configureContainerd(containerd, stateDir, 1, '--config-path', containerd.certsFolder);
  const lines = /add these lines:\n([\s\S]*)\nthen restart/.exec(said)?.[1] ?? '';
  expect(lines).toContain('config_path');
  await writeFile(containerd.configFile, `${withoutPath}\n${lines}\n`);
  const again = await configureContainerd(containerd, stateDir, 1);
  expect(again).not.toContain('to do');
});

test.each([registry, `${registry}:5000`])(
  'podman pulls everything of %s from the mirror, by the path',
  async (host) => {
    const origin = await startImageRegistry(scope, { [`${pathOfRegistry(host)}/app`]: app });
    const root = await temporaryFolder(scope, 'root');
    const folder = path.join(root, 'etc/containers');
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, 'policy.json'), '{"default": [{"type": "insecureAcceptAnything"}]}');
    const port = Number(new URL(origin.url).port);
    await configure('/state', port, '--runtime', 'podman', '--root', root, '--registry', host);
    // In a mount namespace of its own podman sees the folder as /etc/containers; what it mounts goes with the namespace.
    const script = 'mount --bind "$0" /etc/containers && exec "$@"';
    const storage = [
      '--root',
      path.join(root, 'storage'),
      '--runroot',
      path.join(root, 'run'),
      '--storage-driver',
      'vfs',
    ];
    const podman = ['podman', ...storage, 'pull', '--quiet', `${host}/app:v1`];
    expect(await run(['unshare', '--mount', 'sh', '-c', script, folder, ...podman])).toMatch(/^[0-9a-f]{64}\n$/);
  },
);
