import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Agent, startAgent } from '../harness/agent.ts';
import type { CriAuth } from '../harness/cri-client.ts';
import { e2eImages, type ImageContent, imageContent, startImageRegistry } from '../harness/image-registry.ts';
import { type Misbehaviour, type Relay, type RelayRequest, startRelay } from '../harness/relay.ts';
import { Scope } from '../harness/scope.ts';
import { type SkopeoRuntime, startSkopeoRuntime } from '../harness/skopeo-runtime.ts';
import { temporaryFolder } from '../harness/temp.ts';

const right: CriAuth = { username: 'alice', password: 'correct horse' };

/**
 * What CRI-O depends on: containers/image chooses the mirror when it has the manifest and then takes every blob from there, asks
 * without the pod's credentials, by the path, and goes to the registry only when the whole pull is made again.
 */
describe("a pull by the path, within the kubelet's PullImage,", () => {
  const scope = new Scope();
  let origin: Relay;
  let agent: Agent;
  let runtime: SkopeoRuntime;
  let content: ImageContent;
  let image: string;
  let pulls = 0;

  beforeAll(async () => {
    const open = await startImageRegistry(scope, e2eImages);
    content = await imageContent(open.url, 'mixed');
    const registry = await startImageRegistry(scope, e2eImages, { auth: { htpasswd: { alice: 'correct horse' } } });
    origin = await startRelay(scope, registry.url);
    image = `${origin.host}/mixed:v1`;
    const root = await temporaryFolder(scope, 'path-form');
    const dropIns = path.join(root, 'etc/containers/registries.conf.d');
    await mkdir(dropIns, { recursive: true });
    runtime = await startSkopeoRuntime(scope, path.join(dropIns, 'shoal.conf'));
    agent = await startAgent(scope, {
      runtimeSocket: runtime.socket,
      registryHosts: { [origin.host]: { plainHttp: true } },
    });
    const options = ['--runtime', 'crio', '--root', root, '--registry', origin.host];
    expect(await agent.shoal('runtime', 'configure', ...options)).toMatchObject({ code: 0, stderr: '' });
  });
  afterAll(() => scope.close());

  beforeEach(async () => {
    await agent.shoal('cache', 'clear');
    await runtime.clear();
    origin.reset();
  });
  afterEach(() => {
    origin.rule = undefined;
  });

  const fromRuntime = (request: RelayRequest): boolean => /skopeo|containers/.test(request.userAgent);
  /** The largest layer, where Shoal asks for it. */
  const isVictim = (request: RelayRequest): boolean =>
    request.method === 'GET' &&
    request.reference === content.layers.toSorted((a, b) => b.size - a.size)[0]?.digest &&
    !fromRuntime(request);
  const toShoal = (misbehaviour: Misbehaviour) => (request: RelayRequest) =>
    isVictim(request) ? misbehaviour : undefined;

  async function pull(auth: CriAuth): Promise<string> {
    pulls += 1;
    return agent.cri.pullImage(image, { auth });
  }

  async function expectComplete(): Promise<void> {
    expect(await runtime.verifiedContent()).toEqual(content.blobs.map((blob) => blob.digest).sort());
  }

  test("brings a private image whole from the mirror, with the pod's credentials, each byte once from the registry", async () => {
    expect(await pull(right)).toBe(content.digest);
    await expectComplete();
    for (const layer of content.layers) expect(origin.bytesOf(layer.digest)).toBe(layer.size);
    expect(origin.requests.filter(fromRuntime)).toEqual([]);
  });

  test.each([
    ['no credentials', {}],
    ['a wrong password', { username: 'alice', password: 'battery staple' }],
  ])('is refused to a pod with %s though the node has every byte', async (_what, credentials) => {
    await pull(right);
    origin.reset();
    await expect(pull(credentials)).rejects.toThrow();
    expect(origin.blobBytes).toBe(0);
    await expect(runtime.verifiedContent()).rejects.toThrow();
  });

  test('ends well when the engine is killed in the middle of a layer', async () => {
    const gate = Promise.withResolvers<void>();
    origin.rule = toShoal({ kind: 'hold', after: 300_000, until: gate.promise });
    const pulling = pull(right);
    await origin.reached(isVictim, 300_000);
    const engine = await agent.enginePid();
    process.kill(engine, 'SIGKILL');
    gate.resolve();
    await pulling;
    await expectComplete();
    await agent.logged((line) => line.msg === 'engine ready' && line.pid !== engine, 'the next engine');
  });

  test.each<Misbehaviour>([
    { kind: 'status', status: 503 },
    { kind: 'flip', at: 100_000 },
  ])('is made again without Shoal when the registry gives Shoal a $kind', async (misbehaviour) => {
    origin.rule = toShoal(misbehaviour);
    await pull(right);
    await expectComplete();
    expect((await agent.nthPull(pulls)).repeated).toBe(true);
    expect(origin.requests.some((request) => fromRuntime(request) && request.kind === 'blob')).toBe(true);
  });
});
