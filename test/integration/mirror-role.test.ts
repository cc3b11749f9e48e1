import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Agent, startAgent } from '../harness/agent.ts';
import { entry } from '../harness/entry.ts';
import { e2eImages, imageContent, startImageRegistry } from '../harness/image-registry.ts';
import { runAnyway } from '../harness/process.ts';
import { type Relay, startRelay } from '../harness/relay.ts';
import { loopbackAddresses, memberOf, type Plan, startRole } from '../harness/roles.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

let scope: Scope;
let origin: Relay;
let registryUrl: string;

beforeEach(async () => {
  scope = new Scope();
  const registry = await startImageRegistry(scope, { layered: e2eImages.layered });
  registryUrl = registry.url;
  origin = await startRelay(scope, registry.url);
});
afterEach(() => scope.close());

interface Pulled {
  readonly imageBytes: number;
  readonly mirrorBytes: number;
  readonly peerBytes: number;
  readonly originBytes: number;
}

async function pull(agent: Agent, ...options: string[]): Promise<Pulled> {
  const image = `${origin.host}/layered:v1`;
  const { code, stdout, stderr } = await agent.shoal('pull', image, '--output', 'json', ...options);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout) as Pulled;
}

describe('with downloadPattern: source', () => {
  test('pieces come from the mirrors, which share the work, and of which one can die', async () => {
    const mirrors = await loopbackAddresses(2);
    const [first = ''] = await loopbackAddresses(1);
    const plan: Plan = { mirrors, agents: [first], pattern: 'source' };
    const [one, other] = await Promise.all(mirrors.map((address) => startRole(scope, 'mirror', address, plan)));
    const agent = await startAgent(scope, { p2p: memberOf(first, plan) });
    const pulled = await pull(agent);
    expect(pulled).toMatchObject({ mirrorBytes: pulled.imageBytes, originBytes: 0, peerBytes: 0 });
    const { size } = await imageContent(registryUrl, 'layered');
    // A reader's piece that is slow is asked of the other mirror, too, which then fetches it as well.
    expect(origin.contentBytes).toBeGreaterThanOrEqual(size);
    expect(origin.contentBytes).toBeLessThan(size * 1.5);

    await agent.shoal('cache', 'clear');
    one?.process.kill('SIGKILL');
    await one?.process.exited;
    const again = await pull(agent);
    expect(again.mirrorBytes).toBe(again.imageBytes);
    expect(other?.process.exit).toBeUndefined();
  });

  test('nodes go to the registry themselves while there is no mirror', async () => {
    const [mirror = '', address = ''] = await loopbackAddresses(2);
    const agent = await startAgent(scope, {
      p2p: memberOf(address, { mirrors: [mirror], agents: [address], pattern: 'source' }),
    });
    const pulled = await pull(agent);
    expect(pulled).toMatchObject({ originBytes: pulled.imageBytes, mirrorBytes: 0 });
  });
});

describe('with downloadPattern: p2p', () => {
  test('a mirror fetches for the nodes, and keeps what it has over a restart', async () => {
    const [mirror = '', scheduler = '', address = ''] = await loopbackAddresses(3);
    const plan: Plan = { mirrors: [mirror], agents: [address], schedulers: [scheduler], pattern: 'p2p' };
    await startRole(scope, 'scheduler', scheduler, plan);
    const running = await startRole(scope, 'mirror', mirror, plan);
    const agent = await startAgent(scope, { p2p: memberOf(address, plan) });
    await vi.waitFor(async () => expect((await agent.shoal('status')).code).toBe(0), { timeout: 20_000 });
    const pulled = await pull(agent);
    // A piece that was asked for before the mirror had introduced itself is the agent's to fetch.
    expect(pulled.mirrorBytes).toBeGreaterThan(pulled.imageBytes / 2);
    expect(pulled.mirrorBytes + pulled.originBytes).toBe(pulled.imageBytes);

    running.process.kill('SIGTERM');
    await running.process.exited;
    await startRole(scope, 'mirror', mirror, plan, { former: running.folder });
    await agent.shoal('cache', 'clear');
    origin.reset();
    // The member that was away is probed again within moments.
    await vi.waitFor(
      async () => {
        expect((await agent.shoal('cache', 'clear')).code).toBe(0);
        expect((await pull(agent)).mirrorBytes).toBe(pulled.imageBytes);
      },
      { timeout: 30_000 },
    );
  });
});

test('shoal pull writes an OCI image layout whose blobs are what their digests say', async () => {
  const agent = await startAgent(scope);
  const layout = path.join(await temporaryFolder(scope, 'layout'), 'image');
  await pull(agent, '--layout', layout);
  const index = JSON.parse(await readFile(path.join(layout, 'index.json'), 'utf8')) as {
    manifests: { digest: string; annotations: Record<string, string> }[];
  };
  expect(index.manifests).toHaveLength(1);
  expect(index.manifests[0]?.annotations).toEqual({ 'org.opencontainers.image.ref.name': `${origin.host}/layered:v1` });
  const content = await imageContent(registryUrl, 'layered');
  const digests = (await readdir(path.join(layout, 'blobs/sha256'))).map((name) => `sha256:${name}`);
  for (const { digest } of content.blobs) expect(digests).toContain(digest);
  // What is there already is not pulled again.
  const again = await pull(agent, '--layout', layout);
  expect(again.originBytes).toBe(0);
});

test('shoal pull that fails is in the list of pulls as failed, with the reason', async () => {
  const agent = await startAgent(scope);
  const { code, stderr } = await agent.shoal('pull', `${origin.host}/nobody:v1`);
  expect([code, stderr]).toEqual([1, expect.stringContaining('MANIFEST_UNKNOWN')]);
  const { stdout } = await agent.shoal('pulls', '--output', 'json');
  expect(JSON.parse(stdout)).toMatchObject([{ state: 'failed', cause: expect.stringContaining('MANIFEST_UNKNOWN') }]);
});

test('shoal preheat brings an image into the caches of other nodes, each byte from the registry once', async () => {
  const agents = await loopbackAddresses(3);
  const plan: Plan = { mirrors: [], agents, pattern: 'p2p' };
  const nodes = await Promise.all(agents.map((address) => startAgent(scope, { p2p: memberOf(address, plan) })));
  const [first] = nodes;
  await vi.waitFor(
    async () => {
      const { stdout } = (await first?.shoal('peers', '--output', 'json')) ?? { stdout: '' };
      expect(stdout.match(/"state": "reachable"/g)).toHaveLength(3);
    },
    { timeout: 30_000 },
  );
  const image = `${origin.host}/layered:v1`;
  const { code, stdout } = (await first?.shoal('preheat', image, '--nodes', '3', '--output', 'json')) ?? {
    code: -1,
    stdout: '',
  };
  const results = JSON.parse(stdout) as { node: string; ok: boolean; bytes: number }[];
  const { size } = await imageContent(registryUrl, 'layered');
  expect({ code, nodes: results.map(({ node }) => node).sort() }).toEqual({ code: 0, nodes: agents.toSorted() });
  for (const node of nodes)
    expect((await node.shoal('cache', 'stat', '--output', 'json')).stdout).toContain('"pieces"');
  expect(origin.contentBytes).toBeLessThan(size * 1.5);

  // Without a terminal a line for each as soon as it has ended; on one a bar, and the lines after it.
  const command = [
    process.execPath,
    entry,
    'preheat',
    image,
    '--nodes',
    '3',
    '--config',
    first?.configFile ?? '',
  ] as const;
  const line = / {2}[\d.]+ MiB in [\d.]+ s, 0\.0 MiB from the registry\r?$/gm;
  const plain = await runAnyway(command);
  expect(plain).toMatchObject({ code: 0, stderr: '' });
  expect(plain.stdout.match(line)).toHaveLength(3);
  const shown = await runAnyway(['script', '--quiet', '--return', '--command', command.join(' '), '/dev/null']);
  expect(shown.code).toBe(0);
  expect(shown.stdout).toContain('3 of 3 nodes');
  expect(shown.stdout.match(line)).toHaveLength(3);

  const refused = await first?.shoal('preheat', `${origin.host}/nobody:v1`, '--nodes', '2');
  expect(refused?.code).toBe(1);
  expect(refused?.stdout.match(/failed: /g)).toHaveLength(2);
});
