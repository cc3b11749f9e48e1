import { createHash, randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createRegistryClient } from '../../src/registry/client.ts';
import { pieceTarget } from '../../src/swarm/transfer/protocol.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import type { Span } from '../../src/telemetry/otlp-exporter.ts';
import { RemoteSpans } from '../../src/telemetry/remote-spans.ts';
import { startOrigin } from '../harness/origin-server.ts';
import { exchange, requestText } from '../harness/raw-http.ts';
import { Scope } from '../harness/scope.ts';
import { createClient, digest, HeldPieces, KiB, startServer } from './swarm-transfer-peers.ts';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentId = '00f067aa0ba902b7';
const trace = { traceparent: `00-${traceId}-${parentId}-01`, tracestate: 'vendor=opaque' };

let scope: Scope;
beforeEach(() => {
  scope = new Scope();
});
afterEach(() => scope.close());

describe('a peer that is asked for pieces', () => {
  const held = new HeldPieces([64 * KiB, 64 * KiB]);

  async function serving() {
    const exported: Span[] = [];
    const spans = new RemoteSpans({
      export: (some) => exported.push(...some),
      now: Date.now,
      monotonic: () => performance.now(),
    });
    const { server, peer } = await startServer(scope, held, { spans });
    const told = () => {
      spans.close();
      return exported;
    };
    return { server, peer, told };
  }

  test('records in the trace of whoever asks what it gave', async () => {
    const { peer, told } = await serving();
    const client = createClient(scope);
    for (const index of [0, 1]) {
      const { bytes, crc32c } = held.at(index);
      const destination = Buffer.alloc(bytes.length);
      await client.fetch({ peer, key: { digest, index }, crc32c, destination, trace });
      expect(destination.equals(bytes)).toBe(true);
    }
    const absent = { peer, key: { digest, index: 7 }, crc32c: 1, destination: Buffer.alloc(10), trace };
    await expect(client.fetch(absent)).rejects.toMatchObject({ kind: 'absent' });
    expect(told()).toMatchObject([
      {
        traceId,
        parentId,
        state: 'vendor=opaque',
        name: 'serve',
        kind: 'server',
        attributes: {
          'oci.digest': digest,
          'network.peer.address': expect.stringContaining('127.0.0.1'),
          'shoal.pieces': 3,
          'shoal.pieces.served': 2,
          'shoal.pieces.absent': 1,
          'shoal.bytes': 128 * KiB,
        },
      },
    ]);
  });

  test.each<[string, Record<string, string>]>([
    ['none', {}],
    ['one that is not recorded', { traceparent: trace.traceparent.replace(/01$/, '00') }],
    ['one that is not valid', { traceparent: `00-${'0'.repeat(32)}-${parentId}-01` }],
    ['one in capitals', { traceparent: trace.traceparent.toUpperCase() }],
    ['two of them', { traceparent: trace.traceparent, Traceparent: trace.traceparent }],
    ['something long', { traceparent: 'x'.repeat(3000) }],
  ])('gives it all the same, and records nothing, with %s', async (_, headers) => {
    const { server, told } = await serving();
    const target = pieceTarget({ key: { digest, index: 0 } });
    const { status, body } = await exchange(server.address.port, requestText(target, headers));
    expect([status, body.length]).toEqual([200, 64 * KiB]);
    expect(told()).toEqual([]);
  });

  test.each(['A=1', 'a=1,a=1', `a=${'v'.repeat(1500)}`, '\u0001'])(
    'drops a tracestate that is none: %s',
    async (tracestate) => {
      const { server, told } = await serving();
      const target = pieceTarget({ key: { digest, index: 0 } });
      await exchange(server.address.port, requestText(target, { traceparent: trace.traceparent, tracestate }));
      expect(told().every(({ state }) => state === undefined)).toBe(true);
    },
  );

  test('without a collector does nothing about it', async () => {
    const { peer } = await startServer(scope, held);
    const { bytes, crc32c } = held.at(0);
    const destination = Buffer.alloc(bytes.length);
    await createClient(scope).fetch({ peer, key: { digest, index: 0 }, crc32c, destination, trace });
    expect(destination.equals(bytes)).toBe(true);
  });
});

describe('a registry', () => {
  const blob = randomBytes(10_000);
  const name = `sha256:${createHash('sha256').update(blob).digest('hex')}`;

  /** What a registry and the store that it redirects to are told of the trace. */
  async function ask(tracing: (host: string) => readonly string[]) {
    const told: (string | undefined)[] = [];
    const note = (headers: Readonly<Record<string, string | string[] | undefined>>) =>
      told.push([headers.traceparent, headers.tracestate].filter(Boolean).join(' ') || undefined);
    const store = await startOrigin(scope, (request, response) => {
      note(request.headers);
      response.writeHead(200, { 'content-length': blob.length }).end(blob);
    });
    const registry = await startOrigin(scope, (request, response) => {
      note(request.headers);
      response.writeHead(307, { location: `http://${store.host}/blob` }).end();
    });
    const client = createRegistryClient(
      {
        hosts: {},
        connectTimeout: 5,
        transferTimeout: 5,
        parallels: 4,
        environment: {},
        tracing: tracing(registry.host),
      },
      createLogger({ name: 'test', level: 'silent' }),
    );
    scope.defer(() => client.close());
    await client.fetchBlob({ registry: registry.host, repository: 'a/b' }, name, {
      credentials: { kind: 'anonymous' },
      range: { start: 0, end: blob.length },
      size: blob.length,
      onData: () => undefined,
      trace,
    });
    return told;
  }

  test('is told nothing of the trace by default', async () => {
    expect(await ask(() => [])).toEqual([undefined, undefined]);
    expect(await ask(() => ['registry.example.com'])).toEqual([undefined, undefined]);
  });

  test('that is to be told is, and nobody whom it redirects to', async () => {
    expect(await ask((host) => [host])).toEqual([`${trace.traceparent} ${trace.tracestate}`, undefined]);
  });
});
