import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { status } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { configureRuntime } from '../harness/agent.ts';
import { debianContainerd } from '../harness/debian-containerd.ts';
import { GrpcCaller } from '../harness/grpc-caller.ts';
import type { ImageContent } from '../harness/image-registry.ts';
import { fromContainerd, startNode, type TestNode } from '../harness/node.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

/** A version is known by what it is, not by which one Debian has today: sid's goes on. */
const runtimes = [
  { name: 'that the machine has', suite: undefined, isIt: () => true },
  {
    name: '1.7, of Debian trixie',
    suite: 'trixie',
    isIt: (major: number, minor: number) => major === 1 && minor === 7,
  },
  { name: '2, of Debian sid', suite: 'sid', isIt: (major: number) => major >= 2 },
] as const;

describe.each(runtimes)('containerd $name', ({ suite, isIt }) => {
  const scope = new Scope();
  let node: TestNode;
  let content: ImageContent;

  beforeAll(async () => {
    node = await startNode(scope, suite === undefined ? {} : { binary: await debianContainerd(suite) });
    content = await node.content('mixed');
  });
  afterAll(() => scope.close());

  beforeEach(() => node.origin.reset());
  afterEach(async () => {
    node.origin.rule = undefined;
    for (const image of await node.containerd.cri.listImages()) await node.containerd.cri.removeImage(image.id);
  });

  async function expectComplete(): Promise<void> {
    expect(await node.containerd.verifiedContent()).toEqual(content.blobs.map((blob) => blob.digest).sort());
  }

  test('is the version that is meant', () => {
    const { major, minor } = node.containerd.version;
    expect(isIt(major, minor), `it is ${major}.${minor}`).toBe(true);
  });

  test('pulls a whole image from the mirror, each byte once from the registry', async () => {
    const { agent, containerd, origin } = node;
    const image = node.image('mixed');
    expect(await agent.cri.pullImage(image)).toBe(content.config);
    await expectComplete();
    for (const layer of content.layers) expect(origin.bytesOf(layer.digest)).toBe(layer.size);
    expect(origin.requests.filter(fromContainerd)).toEqual([]);
    // Unpacked, not only fetched.
    expect((await containerd.rootFileSystem(image)).length).toBeGreaterThan(50);
  });

  test('answers the other calls through Shoal: the image is there, and then it is not', async () => {
    const { cri } = node.agent;
    const image = node.image('mixed');
    await cri.pullImage(image);
    expect(await cri.imageStatus(image)).toMatchObject({ id: content.config, repo_tags: [image] });
    expect((await cri.listImages()).map(({ id }) => id)).toEqual([content.config]);
    expect(await cri.imageFileSystems()).toEqual(await node.containerd.cri.imageFileSystems());
    await cri.removeImage(image);
    expect(await cri.imageStatus(image)).toBeUndefined();
    expect(await cri.listImages()).toEqual([]);
    expect(await node.containerd.verifiedContent()).toEqual([]);
  });

  // Versions that don't know a call say so.
  test.each(['ListImages', 'StreamImages'])('answers %s through Shoal with the same bytes as without', async (name) => {
    await node.agent.cri.pullImage(node.image('mixed'));
    const call = (socket: string) =>
      new GrpcCaller(scope, socket).call(`/runtime.v1.ImageService/${name}`, [Buffer.alloc(0)]);
    const direct = await call(node.containerd.socket);
    expect(await call(node.agent.socket)).toEqual(direct);
    expect([status.OK, status.UNIMPLEMENTED]).toContain(direct.code);
  });

  test('ends its pull when the engine is killed in the middle of a layer', async () => {
    const { agent, origin } = node;
    await agent.shoal('cache', 'clear');
    const victim = content.layers.toSorted((a, b) => b.size - a.size)[0]?.digest;
    const gate = Promise.withResolvers<void>();
    origin.rule = (request) =>
      request.method === 'GET' && request.reference === victim && !fromContainerd(request)
        ? { kind: 'hold', after: 300_000, until: gate.promise }
        : undefined;
    const pull = agent.cri.pullImage(node.image('mixed'));
    await origin.reached((request) => request.reference === victim, 300_000);
    const engine = await agent.enginePid();
    process.kill(engine, 'SIGKILL');
    gate.resolve();
    await pull;
    await expectComplete();
    expect(origin.requests.some(fromContainerd)).toBe(true);
    await agent.logged((line) => line.msg === 'engine ready' && line.pid !== engine, 'the next engine');
  });

  test('without config_path gets the lines that make it read the folder, in whichever version its configuration is', async () => {
    const { agent, containerd } = node;
    const versions = containerd.version.major < 2 ? [undefined, 2] : [undefined, 2, 3];
    for (const version of versions) {
      const folder = await temporaryFolder(scope, 'containerd-config');
      const configured = { ...containerd, configFile: path.join(folder, 'config.toml') };
      // Undefined: there is no file yet.
      const before = version === undefined ? '' : `version = ${version}\n`;
      if (version !== undefined) await writeFile(configured.configFile, before);
      const said = await configureRuntime(agent, configured, '--dry-run', '--config-path', folder);
      const lines = /add these lines:\n([\s\S]*)\nthen restart/.exec(said)?.[1];
      await writeFile(configured.configFile, `${before}${lines}\n`);
      const again = await configureRuntime(agent, configured, '--dry-run');
      expect(again).toContain(`${folder}/_default/hosts.toml`);
      expect(again).not.toContain('to do');
    }
  });

  test('is configured right also where another containerd comes first on the PATH', async () => {
    const where = ['--containerd-config', node.containerd.configFile];
    const { code, stdout } = await node.agent.shoal(
      'runtime',
      'configure',
      '--runtime',
      'containerd',
      '--dry-run',
      ...where,
    );
    expect({ code, stdout }).toMatchObject({ code: 0 });
    expect(stdout).not.toContain('to do');
  });
});
