import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { configSchema } from '../../src/config/schema.ts';
import { native } from '../../src/native/index.ts';
import { type AcceptedPull, PullEngine } from '../../src/pull/engine.ts';
import { createPolicy } from '../../src/pull/policy.ts';
import type { OpenBlob, Requester } from '../../src/pull/types.ts';
import { RegistryError } from '../../src/registry/types.ts';
import { createPieceStore } from '../../src/store/store.ts';
import type { PieceStore } from '../../src/store/types.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { digestOf, imageOf, ScriptedClient } from '../harness/scripted-client.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const piece = 256 * KiB;
const log = createLogger({ name: 'test', level: 'silent' });
const never = new AbortController().signal;

const runtime: Requester = { registry: 'reg.test', repository: 'app', runtime: true, accept: [] };
const alice = { username: 'alice', password: 'right' };

let directory: string;
let client: ScriptedClient;
let store: PieceStore;
let engine: PullEngine;

beforeEach(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'shoal-pull-'));
  client = new ScriptedClient();
  await start(64 * MiB);
});

afterEach(async () => {
  await store.close();
  await rm(directory, { recursive: true, force: true });
});

async function start(memoryBytes: number): Promise<void> {
  await store?.close();
  const config = configSchema.parse({ p2p: { v2: { cache: { mode: 'memory', optionBlockSize: memoryBytes } } } });
  store = await createPieceStore({ config: config.p2p.v2.cache, directory, native, log });
  engine = new PullEngine({
    client,
    store,
    native,
    policy: createPolicy({ include: ['*'], exclude: ['reg.test/excluded'] }),
    blockBytes: piece,
    parallels: 128,
    authorizationTTL: 3600,
    log,
  });
}

function open(image = 'reg.test/app:v1', auth = alice): AcceptedPull {
  const result = engine.open({ image, auth });
  if (result.kind !== 'accepted') throw new Error(result.reason);
  return result.pull;
}

async function read(blob: OpenBlob, start = 0, end = blob.size, signal: AbortSignal = never): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of blob.read(start, end, signal)) {
    chunks.push(Buffer.from(chunk.bytes));
    chunk.release();
  }
  return Buffer.concat(chunks);
}

const pullBlob = async (bytes: Buffer, requester = runtime) =>
  read(await engine.openBlob(requester, digestOf(bytes), never));

function fetchesOf(bytes: Buffer) {
  const wanted = digestOf(bytes);
  return client.fetches.filter(({ digest }) => digest === wanted);
}

describe('a cold pull', () => {
  it('gives the runtime exactly the bytes of the registry and asks for each byte once', async () => {
    const image = imageOf([randomBytes(3 * MiB + 17), randomBytes(5 * MiB), Buffer.from([7]), randomBytes(piece)]);
    client.add('v1', image);
    const pull = open();
    const manifest = await engine.manifest(runtime, 'v1', 'GET', never);
    expect(manifest).toEqual({ ...image.manifest, size: image.manifest.body.length });
    const pulled = await Promise.all(image.blobs.map((blob) => pullBlob(blob)));
    expect(pulled.map(digestOf)).toEqual(image.blobs.map(digestOf));
    const bytes = image.blobs.reduce((sum, blob) => sum + blob.length, 0);
    expect(client.askedBytes).toBe(bytes);
    expect(pull.summary()).toMatchObject({ imageBytes: bytes, bytes: { origin: bytes, memory: 0, disk: 0, peer: 0 } });
    pull.close();
  });

  it('serves an empty blob', async () => {
    const empty = Buffer.alloc(0);
    client.add('v1', imageOf([empty]));
    const pull = open();
    expect(await pullBlob(empty)).toEqual(empty);
    pull.close();
  });

  it('shares one download between all readers of a blob and all pulls of the image', async () => {
    const layer = randomBytes(4 * MiB);
    client.add('v1', imageOf([layer]));
    const pulls = [open(), open(), open()];
    const read = await Promise.all([pullBlob(layer), pullBlob(layer), pullBlob(layer), pullBlob(layer)]);
    expect(read.every((bytes) => bytes.equals(layer))).toBe(true);
    expect(fetchesOf(layer).reduce((sum, { start, end }) => sum + end - start, 0)).toBe(layer.length);
    for (const pull of pulls) pull.close();
  });

  it('serves any range', async () => {
    const layer = randomBytes(3 * piece + 5);
    client.add('v1', imageOf([layer]));
    const pull = open();
    const blob = await engine.openBlob(runtime, digestOf(layer), never);
    for (const [start, end] of [
      [0, 1],
      [piece - 1, piece + 1],
      [1, layer.length],
      [layer.length - 1, layer.length],
    ] as const) {
      expect((await read(blob, start, end)).equals(layer.subarray(start, end))).toBe(true);
    }
    pull.close();
  });

  it('goes on when the registry knows no ranges, and asks it for whole blobs once it knows', async () => {
    client.ignoreRanges = true;
    const layers = [randomBytes(20 * MiB), randomBytes(20 * MiB)] as const;
    client.add('v1', imageOf([layers[0]]));
    client.add('v2', imageOf([layers[1]]));
    for (const [tag, layer] of [
      ['v1', layers[0]],
      ['v2', layers[1]],
    ] as const) {
      const pull = open(`reg.test/app:${tag}`);
      expect((await pullBlob(layer)).equals(layer)).toBe(true);
      pull.close();
    }
    expect(fetchesOf(layers[1])).toMatchObject([{ start: 0, end: layers[1].length }]);
  });

  it('streams a blob that is larger than the whole cache', async () => {
    await start(16 * MiB);
    const layer = randomBytes(64 * MiB);
    client.add('v1', imageOf([layer]));
    const pull = open();
    expect(digestOf(await pullBlob(layer))).toBe(digestOf(layer));
    expect(client.askedBytes).toBeLessThan(layer.length * 1.05);
    pull.close();
  });
});

describe('prefetching', () => {
  it('fetches no layer before the runtime asks for one, then the following ones without being asked', async () => {
    const layers = [randomBytes(piece), randomBytes(piece), randomBytes(piece)] as const;
    client.add('v1', imageOf([...layers]));
    const pull = open();
    await engine.manifest(runtime, 'v1', 'GET', never);
    expect(client.fetches).toEqual([]);
    const third = digestOf(layers[2]);
    const arrived = new Promise<void>((resolve) => {
      client.beforeChunk = ({ digest }, _offset, chunk) => {
        if (digest === third) resolve();
        return chunk;
      };
    });
    await pullBlob(layers[1]);
    await arrived;
    expect(fetchesOf(layers[0])).toEqual([]);
    pull.close();
  });

  it('stops when the pull ends', async () => {
    const layers = [randomBytes(piece), randomBytes(64 * MiB)] as const;
    client.add('v1', imageOf([...layers]));
    const pull = open();
    const second = digestOf(layers[1]);
    const stopped = new Promise<void>((resolve) => {
      client.beforeChunk = async ({ digest }, offset, chunk) => {
        if (digest === second && offset >= MiB) {
          pull.close();
          setImmediate(resolve);
        }
        return chunk;
      };
    });
    await pullBlob(layers[0]);
    await stopped;
    const asked = client.fetches.length;
    await vi.waitFor(() => expect(store.stat().memory.pinned).toBe(0));
    expect(client.fetches.length).toBe(asked);
  });

  it('never runs further ahead of the readers than the store can hold', async () => {
    await start(16 * MiB);
    const layers = [randomBytes(piece), randomBytes(64 * MiB)] as const;
    client.add('v1', imageOf([...layers]));
    const second = digestOf(layers[1]);
    let delivered = 0;
    const quiet = Promise.withResolvers<void>();
    let timer: NodeJS.Timeout | undefined;
    client.beforeChunk = ({ digest }, _offset, chunk) => {
      if (digest === second) delivered += chunk.length;
      timer?.refresh();
      return chunk;
    };
    const pull = open();
    await pullBlob(layers[0]);
    timer = setTimeout(() => quiet.resolve(), 200);
    await quiet.promise;
    expect(delivered).toBeGreaterThan(0);
    expect(delivered).toBeLessThanOrEqual(store.readAheadBytes + piece);
    pull.close();
  });
});

describe('a warm pull', () => {
  it('asks the registry for the manifest only', async () => {
    const layer = randomBytes(3 * MiB);
    client.add('v1', imageOf([layer]));
    const cold = open();
    await pullBlob(layer);
    cold.close();
    const asked = client.fetches.length;
    const manifests = client.manifestRequests;
    const warm = open();
    expect((await pullBlob(layer)).equals(layer)).toBe(true);
    expect(client.fetches.length).toBe(asked);
    expect(client.manifestRequests).toBe(manifests + 1);
    expect(warm.summary().bytes).toEqual({ origin: 0, memory: layer.length, disk: 0, peer: 0, mirror: 0 });
    warm.close();
  });

  it('gives nothing to a pod whose credentials the registry refuses, though every byte is cached', async () => {
    const image = imageOf([randomBytes(piece)]);
    const [, layer = Buffer.alloc(0)] = image.blobs;
    client.add('v1', image);
    client.authorize = (credentials) => {
      if (credentials.kind !== 'basic' || credentials.password !== 'right') {
        throw new RegistryError('unauthorized', 'not with these', { status: 401 });
      }
    };
    const good = open();
    await pullBlob(layer);
    good.close();
    const bad = open('reg.test/app:v1', { username: 'alice', password: 'wrong' });
    await expect(engine.manifest(runtime, 'v1', 'GET', never)).rejects.toMatchObject({ kind: 'not-found' });
    await expect(pullBlob(layer)).rejects.toMatchObject({ kind: 'not-found' });
    expect(bad.fallBack()).toMatchObject({ served: 0, cause: expect.stringContaining('not with these') });
    bad.close();
    const stranger = { ...runtime, runtime: false };
    await expect(pullBlob(layer, stranger)).rejects.toMatchObject({ kind: 'not-found' });
  });
});

describe('a registry that sends wrong bytes', () => {
  /** Flips a byte of the first `times` deliveries of the piece at `offset`. */
  function corrupt(layer: Buffer, offset: number, times: number): void {
    let left = times;
    const wanted = digestOf(layer);
    client.beforeChunk = ({ digest }, at, chunk) => {
      if (digest !== wanted || at !== offset || left === 0) return chunk;
      left -= 1;
      const wrong = Buffer.from(chunk);
      wrong[0] = (wrong[0] ?? 0) ^ 1;
      return wrong;
    };
  }

  it('once, in a piece that was not handed out: the runtime gets the right bytes and notices nothing', async () => {
    const layer = randomBytes(4 * piece);
    client.add('v1', imageOf([layer]));
    corrupt(layer, 3 * piece, 1);
    const pull = open();
    expect((await pullBlob(layer)).equals(layer)).toBe(true);
    pull.close();
  });

  it('once, in a piece that was handed out: the blob ends before its last piece, and the next pull is right', async () => {
    const layer = randomBytes(4 * piece);
    client.add('v1', imageOf([layer]));
    corrupt(layer, piece, 1);
    const pull = open();
    await expect(pullBlob(layer)).rejects.toMatchObject({ kind: 'corrupt' });
    expect(pull.fallBack().cause).toContain('piece 1');
    pull.close();
    const next = open();
    expect((await pullBlob(layer)).equals(layer)).toBe(true);
    next.close();
  });

  it('always: the last piece is never handed out and nothing of it stays in the cache', async () => {
    const layer = randomBytes(piece);
    client.add('v1', imageOf([layer]));
    corrupt(layer, 0, Number.POSITIVE_INFINITY);
    const pull = open();
    await expect(pullBlob(layer)).rejects.toMatchObject({ kind: 'corrupt' });
    expect(store.has({ digest: digestOf(layer), index: 0 })).toBe(false);
    pull.close();
  });
});

describe('when something goes wrong', () => {
  it('a reader gets the registry’s failure, and the next reader a new attempt', async () => {
    const layer = randomBytes(piece);
    client.add('v1', imageOf([layer]));
    client.beforeChunk = () => {
      throw new RegistryError('unavailable', 'connection refused');
    };
    const pull = open();
    await expect(pullBlob(layer)).rejects.toMatchObject({ kind: 'unavailable', message: 'connection refused' });
    client.beforeChunk = (_fetch, _offset, chunk) => chunk;
    expect((await pullBlob(layer)).equals(layer)).toBe(true);
    pull.close();
  });

  it('a pull whose credentials expired meanwhile goes on with those of another pull', async () => {
    const layer = randomBytes(piece);
    client.add('v1', imageOf([layer]));
    const first = open('reg.test/app:v1', { username: 'old', password: 'x' });
    const second = open('reg.test/app:v1', { username: 'new', password: 'x' });
    const as = (pair: string) => ({ ...runtime, authorization: `Basic ${Buffer.from(pair).toString('base64')}` });
    const blobs = [
      await engine.openBlob(as('old:x'), digestOf(layer), never),
      await engine.openBlob(as('new:x'), digestOf(layer), never),
    ];
    client.authorize = (credentials) => {
      if (credentials.kind === 'basic' && credentials.username === 'old') {
        throw new RegistryError('unauthorized', 'expired', { status: 401 });
      }
    };
    const bytes = await Promise.all(blobs.map((blob) => read(blob)));
    expect(bytes.every((read) => read.equals(layer))).toBe(true);
    first.close();
    second.close();
  });

  it('a reader that goes away in the middle leaves no memory pinned', async () => {
    const layer = randomBytes(8 * piece);
    client.add('v1', imageOf([layer]));
    const pull = open();
    const blob = await engine.openBlob(runtime, digestOf(layer), never);
    const gone = new AbortController();
    for await (const chunk of blob.read(0, layer.length, gone.signal)) {
      chunk.release();
      break;
    }
    gone.abort();
    pull.close();
    await vi.waitFor(() => expect(store.stat().memory.pinned).toBe(0));
  });

  it('a reader that waits gives up when its client does', async () => {
    const layer = randomBytes(piece);
    client.add('v1', imageOf([layer]));
    client.beforeChunk = () => new Promise<never>(() => {});
    const pull = open();
    const blob = await engine.openBlob(runtime, digestOf(layer), never);
    const gone = new AbortController();
    const reading = read(blob, 0, layer.length, gone.signal);
    setImmediate(() => gone.abort(new Error('client went away')));
    await expect(reading).rejects.toThrow('client went away');
    pull.close();
  });

  it('a pull that fell back is refused to the runtime, and says what it had been served', async () => {
    const layer = randomBytes(piece);
    client.add('v1', imageOf([layer]));
    const pull = open();
    await engine.manifest(runtime, 'v1', 'HEAD', never);
    await pullBlob(layer);
    expect(pull.fallBack().served).toBe(2);
    await expect(engine.manifest(runtime, 'v1', 'GET', never)).rejects.toMatchObject({ kind: 'not-found' });
    await expect(pullBlob(layer)).rejects.toMatchObject({ kind: 'not-found' });
    pull.close();
    expect((await pullBlob(layer)).equals(layer)).toBe(true);
  });

  it('two manifests that disagree on a blob’s size do not share it', async () => {
    const layer = randomBytes(2 * piece);
    client.add('v1', imageOf([layer]));
    const liar = imageOf([layer]);
    const body = Buffer.from(liar.manifest.body.toString().replace(`"size":${layer.length}`, `"size":${3 * piece}`));
    client.manifests.set('v2', { ...liar.manifest, digest: digestOf(body), body });
    const honest = open('reg.test/app:v1');
    await pullBlob(layer);
    honest.close();
    const lying = open('reg.test/app:v2');
    await expect(pullBlob(layer)).rejects.toMatchObject({ kind: 'unavailable' });
    lying.close();
    const again = open('reg.test/app:v1');
    expect((await pullBlob(layer)).equals(layer)).toBe(true);
    expect(fetchesOf(layer).filter(({ start }) => start === 0)).toHaveLength(1);
    again.close();
  });
});

describe('what is declined', () => {
  it.each([
    ['an excluded image', 'reg.test/excluded:v1', /registries.exclude/],
    ['a broken reference', 'reg.test/UPPER', /UPPER/],
  ])('%s, with the reason', (_what, image, reason) => {
    expect(engine.open({ image, auth: alice })).toMatchObject({
      kind: 'declined',
      reason: expect.stringMatching(reason),
    });
  });

  it('is refused by the mirror too', async () => {
    const requester = { ...runtime, repository: 'excluded' };
    await expect(engine.manifest(requester, 'v1', 'GET', never)).rejects.toMatchObject({ kind: 'not-found' });
  });
});

describe('a request without a session', () => {
  it('is answered anonymously, after the registry agreed', async () => {
    const image = imageOf([randomBytes(piece)]);
    const [, layer = Buffer.alloc(0)] = image.blobs;
    client.add('v1', image);
    expect((await engine.manifest(runtime, 'v1', 'HEAD', never)).digest).toBe(image.manifest.digest);
    expect((await pullBlob(layer)).equals(layer)).toBe(true);
    expect(client.heads).toEqual([digestOf(layer)]);
  });
});

describe('while the registry is down', () => {
  const down = () => {
    throw new RegistryError('unavailable', 'connection refused');
  };
  const image = imageOf([randomBytes(piece)]);
  const layer = image.blobs[1] ?? Buffer.alloc(0);

  async function pullOnce(): Promise<void> {
    client.add('v1', image);
    const pull = open();
    await engine.manifest(runtime, 'v1', 'GET', never);
    expect((await pullBlob(layer)).equals(layer)).toBe(true);
    pull.close();
  }

  it('serves what the cache has to credentials that it accepted before', async () => {
    await pullOnce();
    client.authorize = down;
    const pull = open();
    expect((await engine.manifest(runtime, 'v1', 'GET', never)).digest).toBe(image.manifest.digest);
    expect((await pullBlob(layer)).equals(layer)).toBe(true);
    pull.close();
  });

  it('serves nothing to other credentials, nor after it has refused them', async () => {
    await pullOnce();
    client.authorize = down;
    const bob = open('reg.test/app:v1', { username: 'bob', password: 'right' });
    await expect(engine.manifest(runtime, 'v1', 'GET', never)).rejects.toMatchObject({ kind: 'unavailable' });
    bob.close();
    client.authorize = () => {
      throw new RegistryError('unauthorized', 'no longer');
    };
    const refused = open();
    await expect(engine.manifest(runtime, 'v1', 'GET', never)).rejects.toMatchObject({ kind: 'not-found' });
    refused.close();
    client.authorize = down;
    const pull = open();
    await expect(engine.manifest(runtime, 'v1', 'GET', never)).rejects.toMatchObject({ kind: 'unavailable' });
    pull.close();
  });
});
