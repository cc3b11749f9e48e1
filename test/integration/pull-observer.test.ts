import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { configSchema } from '../../src/config/schema.ts';
import { native } from '../../src/native/index.ts';
import { type AcceptedPull, PullEngine } from '../../src/pull/engine.ts';
import type { ObservedPiece, ObservedPull, PullObserver, PullTrace } from '../../src/pull/observer.ts';
import { createPolicy } from '../../src/pull/policy.ts';
import type { Requester } from '../../src/pull/types.ts';
import { createPieceStore } from '../../src/store/store.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { Scope } from '../harness/scope.ts';
import { digestOf, imageOf, ScriptedClient } from '../harness/scripted-client.ts';
import { temporaryFolder } from '../harness/temp.ts';

const MiB = 1024 * 1024;
const log = createLogger({ name: 'test', level: 'silent' });
const never = new AbortController().signal;
const runtime: Requester = { registry: 'reg.test', repository: 'app', runtime: true, accept: [] };

/** Writes everything down that it is told. */
class Notes implements PullObserver {
  readonly pulls: ObservedPull[] = [];
  readonly events: string[] = [];
  readonly pieces: ObservedPiece[] = [];
  readonly delivered = new Map<string, number>();
  readonly direct = this.#trace('direct');
  readonly mismatches: string[] = [];

  opened(pull: ObservedPull): PullTrace {
    this.pulls.push(pull);
    return this.#trace('pull');
  }

  mismatched(digest: string): void {
    this.mismatches.push(digest);
  }

  #trace(name: string): PullTrace {
    return {
      manifest: (layers) => this.events.push(`${name} manifest ${layers.map(({ size }) => size)}`),
      requested: (_digest, size) => this.events.push(`${name} requested ${size}`),
      piece: (piece) => this.pieces.push(piece),
      delivered: (digest, bytes) => this.delivered.set(digest, (this.delivered.get(digest) ?? 0) + bytes),
      failed: ({ kind }) => this.events.push(`${name} failed: ${kind}`),
      fellBack: () => this.events.push(`${name} fell back`),
      ended: (outcome) => this.events.push(`${name} ended ${outcome.result}`),
    };
  }
}

let scope: Scope;
let client: ScriptedClient;
let engine: PullEngine;
let notes: Notes;

beforeEach(async () => {
  scope = new Scope();
  client = new ScriptedClient();
  notes = new Notes();
  const config = configSchema.parse({ p2p: { v2: { cache: { mode: 'memory', optionBlockSize: 64 * MiB } } } });
  const directory = await temporaryFolder(scope, 'observer');
  const store = await createPieceStore({ config: config.p2p.v2.cache, directory, native, log });
  scope.defer(() => store.close());
  engine = new PullEngine({
    client,
    store,
    native,
    policy: createPolicy({ include: ['*'], exclude: [] }),
    blockBytes: 256 * 1024,
    parallels: 128,
    log,
    observer: notes,
  });
});
afterEach(() => scope.close());

function open(): AcceptedPull {
  const pod = { namespace: 'shop', name: 'cart-0', labels: {} };
  const result = engine.open({ image: 'reg.test/app:v1', auth: {}, pod });
  if (result.kind !== 'accepted') throw new Error(result.reason);
  return result.pull;
}

async function read(bytes: Buffer, requester = runtime): Promise<void> {
  const blob = await engine.openBlob(requester, digestOf(bytes), never);
  for await (const chunk of blob.read(0, blob.size, never)) chunk.release();
}

describe('the observer of the pull room', () => {
  it('hears of a pull from its begin to its end, and of every byte once', async () => {
    const layer = randomBytes(3 * MiB);
    client.add('v1', imageOf([layer]));
    const pull = open();
    await read(layer);
    pull.close({ result: 'ok' });
    expect(notes.pulls).toEqual([
      { image: 'reg.test/app:v1', rule: 'registries.include: *', pod: { namespace: 'shop', name: 'cart-0' } },
    ]);
    expect(notes.events).toEqual([`pull manifest ${layer.length}`, `pull requested ${layer.length}`, 'pull ended ok']);
    expect(notes.pieces.map(({ index }) => index).sort((a, b) => a - b)).toEqual([...Array(12).keys()]);
    expect(notes.pieces.every(({ source, from }) => source === 'origin' && from === 'reg.test')).toBe(true);
    expect(notes.pieces.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(layer.length);
    expect(notes.delivered.get(digestOf(layer))).toBe(layer.length);
  });

  it('hears of the cache, and of requests without a pull', async () => {
    const layer = randomBytes(MiB);
    client.add('v1', imageOf([layer]));
    await read(layer, { ...runtime, runtime: false });
    await read(layer, { ...runtime, runtime: false });
    expect(notes.pieces.map(({ source }) => source)).toEqual([
      ...['origin', 'origin', 'origin', 'origin'],
      ...['memory', 'memory', 'memory', 'memory'],
    ]);
    expect(notes.pulls).toEqual([]);
    expect(notes.events).toEqual(Array(2).fill(`direct requested ${layer.length}`));
  });

  it('hears what went wrong, and of a pull whose stream just ended', async () => {
    client.add('v1', imageOf([randomBytes(MiB)]));
    const pull = open();
    await expect(read(randomBytes(5))).rejects.toThrow();
    await engine.manifest(runtime, 'v1', 'GET', never);
    expect(pull.fallBack()).toMatchObject({ served: 1 });
    pull.close();
    expect(notes.events.slice(1)).toEqual(['pull fell back', 'pull ended cancelled']);
  });

  it('does not hear of a fall back where the runtime never came to the mirror', () => {
    const pull = open();
    pull.fallBack();
    pull.close({ result: 'failed', error: 'no such image' });
    expect(notes.events).toEqual(['pull ended failed']);
  });
});
