import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Containerd, startContainerd } from '../harness/containerd.ts';
import { e2eImages, type ImageContent, imageContent, startImageRegistry } from '../harness/image-registry.ts';
import { freePort } from '../harness/ports.ts';
import type { RunningRegistry } from '../harness/registry.ts';
import { type Misbehaviour, type Relay, type RelayRequest, startRelay } from '../harness/relay.ts';
import { Scope } from '../harness/scope.ts';

/**
 * What containerd does when a mirror misbehaves: the facts that the mirror's promises rest on (never RST, never a wrong
 * byte, never silence, never 429). A scripted mirror in front of a real registry; Shoal has no part in it. When a new
 * containerd answers differently here, the mirror has to be looked at again.
 */
describe('containerd, when its mirror', () => {
  const scope = new Scope();
  let own: Scope;
  let registry: RunningRegistry;
  let content: ImageContent;
  let containerd: Containerd;
  let mirror: Relay;
  let origin: Relay;
  let image: string;

  beforeAll(async () => {
    registry = await startImageRegistry(scope, e2eImages);
    content = await imageContent(registry.url, 'mixed');
  });
  afterAll(() => scope.close());

  beforeEach(async () => {
    own = new Scope();
    containerd = await startContainerd(own, { collectsByItself: false });
    mirror = await startRelay(own, registry.url);
    origin = await startRelay(own, registry.url);
    image = `${origin.host}/mixed:v1`;
    await useMirror(mirror.url);
  });
  afterEach(() => own.close());

  async function useMirror(url: string): Promise<void> {
    const folder = path.join(containerd.certsFolder, '_default');
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, 'hosts.toml'), `[host."${url}"]\n  capabilities = ["pull", "resolve"]\n`);
  }

  /** The layer that the misbehaviour meets: large enough to be cut in the middle. */
  const victim = (): string => content.layers[1]?.digest ?? '';
  const toVictim =
    (misbehaviour: Misbehaviour) =>
    (request: RelayRequest): Misbehaviour | undefined =>
      request.method === 'GET' && request.reference === victim() ? misbehaviour : undefined;

  async function expectPulled(): Promise<void> {
    await containerd.cri.pullImage(image);
    expect(await containerd.verifiedContent()).toEqual(content.blobs.map((blob) => blob.digest).sort());
  }

  test('is in order, asks it alone, and names the registry in ns', async () => {
    await expectPulled();
    expect(origin.requests).toEqual([]);
    expect(new Set(mirror.requests.map((request) => request.query.get('ns')))).toEqual(new Set([origin.host]));
  });

  test('refuses connections, pulls from the registry', async () => {
    await useMirror(`http://127.0.0.1:${await freePort()}`);
    await expectPulled();
    expect(origin.contentBytes).toBe(content.size);
  });

  test.each([404, 503])('answers one request with %i, sends that request alone to the registry', async (status) => {
    mirror.rule = toVictim({ kind: 'status', status });
    await expectPulled();
    expect(origin.requests.map((request) => request.reference)).toEqual([victim()]);
  });

  test('answers 429, asks it again and again before it goes on', async () => {
    mirror.rule = toVictim({ kind: 'status', status: 429 });
    await containerd.cri.pullImage(image).catch(() => undefined);
    const attempts = mirror.requests.filter((request) => request.reference === victim());
    expect(attempts.length).toBeGreaterThan(3);
  });

  test("answers 401 Basic, sends it the pod's credentials", async () => {
    const challenge = { kind: 'status', status: 401, headers: { 'WWW-Authenticate': 'Basic realm="mirror"' } } as const;
    mirror.rule = (request) => (request.authorization === undefined ? challenge : undefined);
    await containerd.cri.pullImage(image, { auth: { username: 'somebody', password: 'open sesame' } });
    const sent = mirror.requests.map((request) => request.authorization).filter((value) => value !== undefined);
    expect(new Set(sent)).toEqual(new Set([`Basic ${Buffer.from('somebody:open sesame').toString('base64')}`]));
  });

  test('answers 401 Basic and the pod has no credentials, pulls from the registry', async () => {
    mirror.rule = () => ({ kind: 'status', status: 401, headers: { 'WWW-Authenticate': 'Basic realm="mirror"' } });
    await expectPulled();
    expect(origin.contentBytes).toBe(content.size);
  });

  test('ends the connection with FIN in the middle of a layer, asks it for the rest', async () => {
    mirror.rule = (request) =>
      request.range === undefined ? toVictim({ kind: 'cut', after: 1_000_000, how: 'fin' })(request) : undefined;
    await expectPulled();
    expect(mirror.requests.filter((request) => request.reference === victim()).at(-1)?.range).toMatch(/^bytes=\d+-$/);
    expect(origin.requests).toEqual([]);
  });

  test.each([404, 503])(
    'ends with FIN and answers the rest with %i, gets the rest from the registry',
    async (status) => {
      mirror.rule = (request) =>
        toVictim(
          request.range === undefined ? { kind: 'cut', after: 1_000_000, how: 'fin' } : { kind: 'status', status },
        )(request);
      await expectPulled();
      const [rest, ...others] = origin.requests;
      expect(others).toEqual([]);
      const from = Number(/^bytes=(\d+)-$/.exec(rest?.range ?? '')?.[1]);
      expect(from).toBeGreaterThan(0);
      expect(rest?.sent).toBe((content.layers[1]?.size ?? 0) - from);
    },
  );

  test('resets the connection in the middle of a layer, fails the whole pull', async () => {
    mirror.rule = toVictim({ kind: 'cut', after: 1_000_000, how: 'reset' });
    await expect(containerd.cri.pullImage(image)).rejects.toThrow(/connection reset by peer/);
    expect(origin.requests).toEqual([]);
  });

  test('never answers, waits for it for longer than a kubelet should', async () => {
    mirror.rule = toVictim({ kind: 'silent' });
    const cancelled = new AbortController();
    const pull = containerd.cri.pullImage(image, { signal: cancelled.signal }).catch(() => 'cancelled' as const);
    await mirror.reached((request) => request.kind === 'blob');
    expect(await Promise.race([pull, delay(3000, 'still waiting')])).toBe('still waiting');
    expect(origin.requests).toEqual([]);
    cancelled.abort();
    expect(await pull).toBe('cancelled');
  });

  test('sends one wrong bit, fails this pull and the next one too, though the mirror is gone', async () => {
    mirror.rule = toVictim({ kind: 'flip', at: 1_000_000 });
    await expect(containerd.cri.pullImage(image)).rejects.toThrow(/unexpected commit digest/);
    await useMirror(`http://127.0.0.1:${await freePort()}`);
    await expect(containerd.cri.pullImage(image)).rejects.toThrow(/unexpected commit digest/);
    expect(origin.bytesOf(victim())).toBe(0);
  });
});
