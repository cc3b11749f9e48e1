import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ImageContent } from '../harness/image-registry.ts';
import { fromContainerd, type NodeOptions, startNode, type TestNode } from '../harness/node.ts';
import type { Misbehaviour, RelayRequest, Rule } from '../harness/relay.ts';
import { Scope } from '../harness/scope.ts';
import { waitFor } from '../harness/wait.ts';

const MiB = 1024 * 1024;

/** Patience of the mirror that the tests can wait for, in seconds. */
const impatient = { firstByteTimeout: 2, stallTimeout: 2 };

let own: Scope;
beforeEach(() => {
  own = new Scope();
});
afterEach(() => own.close());

/** A node, an image to pull, and one of its layers that something is to happen to. */
class Scene {
  readonly node: TestNode;
  readonly content: ImageContent;
  readonly victim: string;

  constructor(node: TestNode, content: ImageContent) {
    this.node = node;
    this.content = content;
    this.victim = content.layers.toSorted((a, b) => b.size - a.size)[0]?.digest ?? '';
  }

  static async begin(options: NodeOptions = {}): Promise<Scene> {
    const node = await startNode(own, options);
    return new Scene(node, await node.content('mixed'));
  }

  get image(): string {
    return this.node.image('mixed');
  }

  pull(): Promise<string> {
    return this.node.agent.cri.pullImage(this.image);
  }

  isVictim = (request: RelayRequest): boolean => request.method === 'GET' && request.reference === this.victim;

  /** Meets Shoal's requests for the layer, not those of containerd itself. */
  toShoal(misbehaviour: Misbehaviour): Rule {
    return (request) => (this.isVictim(request) && !fromContainerd(request) ? misbehaviour : undefined);
  }

  /** Meets the first request for the layer alone. */
  once(misbehaviour: Misbehaviour): Rule {
    let met = false;
    return (request) => {
      if (met || !this.isVictim(request)) return undefined;
      met = true;
      return misbehaviour;
    };
  }

  /** What containerd asked the registry for by itself. */
  fromRegistry(): readonly RelayRequest[] {
    return this.node.origin.requests.filter((request) => fromContainerd(request) && request.kind === 'blob');
  }

  async expectComplete(): Promise<void> {
    const held = await this.node.containerd.verifiedContent();
    expect(held).toEqual(this.content.blobs.map((blob) => blob.digest).sort());
  }
}

describe('a pull through Shoal succeeds when', () => {
  test('the engine is killed in the middle, and no other RPC notices', async () => {
    const scene = await Scene.begin();
    const { node } = scene;
    const gate = Promise.withResolvers<void>();
    node.origin.rule = scene.toShoal({ kind: 'hold', after: 300_000, until: gate.promise });
    const pull = scene.pull();
    await node.origin.reached(scene.isVictim, 300_000);
    const engine = await node.agent.enginePid();
    process.kill(engine, 'SIGKILL');
    await node.agent.cri.listImages();
    expect(await node.agent.cri.imageStatus(scene.image)).toBeUndefined();
    expect(await node.agent.cri.imageFileSystems()).toHaveLength(1);
    gate.resolve();
    await pull;
    await scene.expectComplete();
  });

  test('the engine was killed before, by the next engine', async () => {
    const scene = await Scene.begin();
    const { node } = scene;
    const engine = await node.agent.enginePid();
    process.kill(engine, 'SIGKILL');
    await node.agent.logged((line) => line.msg === 'engine ready' && line.pid !== engine, 'the next engine');
    await scene.pull();
    await scene.expectComplete();
    expect(scene.fromRegistry()).toEqual([]);
  });

  test('the whole agent is gone: the runtime finds no mirror and goes on', async () => {
    const scene = await Scene.begin();
    await scene.node.agent.stop();
    await scene.node.containerd.cri.pullImage(scene.image);
    await scene.expectComplete();
  });

  test('the image is none that Shoal accelerates', async () => {
    const scene = await Scene.begin({ exclude: ['*/mixed'] });
    await scene.pull();
    await scene.expectComplete();
    expect(scene.fromRegistry().length).toBeGreaterThan(0);
  });

  test('the registry stalls for Shoal in the middle of a layer: the runtime gets the rest by itself', async () => {
    // A busy machine must not send containerd away before Shoal has given it anything.
    const scene = await Scene.begin({ firstByteTimeout: 6, stallTimeout: 2 });
    let asked = 0;
    scene.node.origin.rule = (request) => {
      if (!scene.isVictim(request) || fromContainerd(request)) return undefined;
      asked += 1;
      return asked === 1 ? { kind: 'hold', after: 2 * MiB, until: new Promise(() => undefined) } : { kind: 'silent' };
    };
    await scene.pull();
    await scene.expectComplete();
    const rest = scene.fromRegistry().find(scene.isVictim);
    expect(rest?.range).toMatch(/^bytes=[1-9]\d*-$/);
  });

  test('the registry never answers Shoal: the runtime asks it by itself', async () => {
    const scene = await Scene.begin(impatient);
    scene.node.origin.rule = scene.toShoal({ kind: 'silent' });
    await scene.pull();
    await scene.expectComplete();
    expect(scene.fromRegistry().some(scene.isVictim)).toBe(true);
  });

  test.each([403, 404, 429, 500, 503])('the registry answers Shoal with %i', async (status) => {
    const scene = await Scene.begin(impatient);
    scene.node.origin.rule = scene.toShoal({ kind: 'status', status });
    await scene.pull();
    await scene.expectComplete();
  });

  test.each(['fin', 'reset'] as const)('the registry cuts a layer with %s: Shoal fetches the rest', async (how) => {
    const scene = await Scene.begin();
    scene.node.origin.rule = scene.once({ kind: 'cut', after: 500_000, how });
    await scene.pull();
    await scene.expectComplete();
    expect(scene.fromRegistry()).toEqual([]);
  });

  test('the registry knows no ranges', async () => {
    const scene = await Scene.begin();
    let cut = false;
    scene.node.origin.rule = (request) => {
      if (cut || !scene.isVictim(request)) return { kind: 'ignore-range' };
      // What is left would be asked for by range.
      cut = true;
      return { kind: 'cut', after: 500_000, how: 'fin' };
    };
    await scene.pull();
    await scene.expectComplete();
    expect(scene.fromRegistry()).toEqual([]);
  });

  test('the registry sends a wrong byte once: it never gets to the runtime', async () => {
    const scene = await Scene.begin();
    scene.node.origin.rule = scene.once({ kind: 'flip', at: 100_000 });
    await scene.pull();
    await scene.expectComplete();
  });

  test('the runtime holds a poisoned layer of an earlier pull', async () => {
    const scene = await Scene.begin({ collectsByItself: false });
    // Both get a wrong byte: Shoal gives up, and what containerd then fetches by itself is wrong, too.
    scene.node.origin.rule = (request) => (scene.isVictim(request) ? { kind: 'flip', at: 100_000 } : undefined);
    await expect(scene.pull()).rejects.toThrow(/unexpected commit digest/);
    scene.node.origin.rule = undefined;
    await scene.pull();
    await scene.expectComplete();
    expect((await scene.node.agent.nthPull(2)).repeated).toBe(true);
  });

  test('the image is much larger than the memory', async () => {
    const scene = await Scene.begin({ memoryTier: 16 * MiB });
    const large = await scene.node.content('large');
    await scene.node.agent.cri.pullImage(scene.node.image('large'));
    const held = await scene.node.containerd.verifiedContent();
    expect(held).toEqual(large.blobs.map((blob) => blob.digest).sort());
  });

  test('the runtime was restarted', async () => {
    const scene = await Scene.begin();
    const { agent, containerd } = scene.node;
    await containerd.kill();
    await expect(agent.cri.listImages()).rejects.toMatchObject({ code: 14 });
    await containerd.restart();
    await waitFor(async () => (await agent.cri.listImages()) !== undefined, { what: 'the runtime', timeoutMs: 2000 });
    await scene.pull();
    await scene.expectComplete();
  });
});

test('Shoal stops fetching when the kubelet cancels the pull', async () => {
  const { node } = await Scene.begin();
  const gate = Promise.withResolvers<void>();
  node.origin.rule = (request) =>
    request.kind === 'blob' ? { kind: 'hold', after: 200_000, until: gate.promise } : undefined;
  const cancelled = new AbortController();
  const pull = node.agent.cri.pullImage(node.image('large'), { signal: cancelled.signal });
  await node.origin.reached((request) => request.kind === 'blob', 200_000);
  cancelled.abort();
  await expect(pull).rejects.toThrow(/CANCELLED/);
  await node.origin.idle();
  gate.resolve();
  const { size } = await node.content('large');
  expect(node.origin.blobBytes).toBeLessThan(size / 10);
});

test('a pull that fails for another reason than Shoal is told as the runtime tells it', async () => {
  const scene = await Scene.begin();
  scene.node.origin.rule = (request) => (scene.isVictim(request) ? { kind: 'status', status: 404 } : undefined);
  const through = await scene.pull().catch((error: unknown) => (error as { details?: string }).details);
  const direct = await scene.node.containerd.cri
    .pullImage(scene.image)
    .catch((error: unknown) => (error as { details?: string }).details);
  expect(through).toContain('not found');
  expect(through).toBe(direct);
});
