import { type EventEmitter, once } from 'node:events';
import { connect, constants, createServer, type ServerHttp2Stream } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { compressionAlgorithms, Metadata, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CriProxy } from '../../src/cri/proxy.ts';
import { type BackendCall, pairsOf, startGrpcBackend } from '../harness/grpc-backend.ts';
import { GrpcCaller, observe } from '../harness/grpc-caller.ts';
import { keptLog } from '../harness/log-lines.ts';
import { noSessions } from '../harness/pull-sessions.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

const MiB = 1024 * 1024;
const echo = '/runtime.v1.ImageService/StreamImages';

let scope: Scope;
let runtimeSocket: string;
let proxySocket: string;
let proxy: CriProxy;

beforeEach(async () => {
  scope = new Scope();
  const folder = await temporaryFolder(scope, 'cri');
  runtimeSocket = path.join(folder, 'runtime.sock');
  proxySocket = path.join(folder, 'shoal.sock');
  proxy = new CriProxy({ runtimeSocket, sessions: noSessions, log: keptLog().log });
  await proxy.listen({ path: proxySocket });
  scope.defer(() => proxy.close(0));
});
afterEach(() => scope.close());

/** Sends back what it gets: metadata as initial metadata and as trailers, then the messages. */
function echoes(seen: string[][]): (call: BackendCall) => void {
  return (call) => {
    seen.push(pairsOf(call.metadata));
    const initial = new Metadata();
    for (const value of call.metadata.get('x-text')) initial.add('x-text', value);
    for (const value of call.metadata.get('x-bytes-bin')) initial.add('x-bytes-bin', value);
    call.sendMetadata(initial);
    call.on('data', (message: Buffer) => call.write(message));
    call.on('end', () => {
      const trailers = new Metadata();
      trailers.add('grpc-status-details-bin', Buffer.from([8, 5, 18, 3, 0xff, 0, 0x80]));
      trailers.add('x-trailer', 'a');
      trailers.add('x-trailer', 'b, c');
      call.emit('error', { code: status.NOT_FOUND, details: 'RegistryUnavailable: 50% – "ü"\n', metadata: trailers });
    });
  };
}

describe('a call through the proxy', () => {
  test.each([
    ['without a message', []],
    ['with one message', [Buffer.from('one')]],
    ['with an empty message', [Buffer.alloc(0)]],
    ['with many messages', Array.from({ length: 300 }, (_, at) => Buffer.from(`message ${at}`))],
    ['with two messages of 16 MiB', [Buffer.alloc(16 * MiB, 1), Buffer.alloc(16 * MiB, 2)]],
  ])('%s is what it is without: metadata, messages, status, details and trailers', async (_what, messages) => {
    const seen: string[][] = [];
    await startGrpcBackend(scope, runtimeSocket, { [echo]: echoes(seen) });
    const metadata = new Metadata();
    metadata.add('x-text', 'one');
    metadata.add('x-text', 'two, three');
    metadata.add('x-bytes-bin', Buffer.from([0, 255, 10, 13]));
    metadata.add('x-bytes-bin', Buffer.from('second'));
    const direct = await new GrpcCaller(scope, runtimeSocket).call(echo, messages, metadata);
    const proxied = await new GrpcCaller(scope, proxySocket).call(echo, messages, metadata);
    expect(direct.messages).toHaveLength(messages.length);
    expect(proxied.messages.every((message, at) => message.equals(direct.messages[at] ?? Buffer.alloc(0)))).toBe(true);
    expect({ ...proxied, messages: proxied.messages.length }).toEqual({ ...direct, messages: direct.messages.length });
    expect(direct.code).toBe(status.NOT_FOUND);
    expect(direct.trailing.filter((pair) => pair.startsWith('x-trailer')).join()).toMatch(/a.*b, c/);
    expect(seen[1]).toEqual(seen[0]);
  });

  test('may be a conversation: each message is answered before the next is sent', async () => {
    await startGrpcBackend(scope, runtimeSocket, { [echo]: echoes([]) });
    const stream = new GrpcCaller(scope, proxySocket).begin(echo);
    const observed = observe(stream);
    for (const text of ['first', 'second', 'third']) {
      stream.write(Buffer.from(text));
      const [answer] = await once(stream, 'data');
      expect(String(answer)).toBe(text);
    }
    stream.end();
    expect((await observed).messages).toHaveLength(3);
  });

  test('of an unknown method is answered UNIMPLEMENTED by the runtime, in its words', async () => {
    await startGrpcBackend(scope, runtimeSocket, { [echo]: echoes([]) });
    const method = '/runtime.v1.ImageService/FromTheFuture';
    const direct = await new GrpcCaller(scope, runtimeSocket).call(method, [Buffer.from('x')]);
    const proxied = await new GrpcCaller(scope, proxySocket).call(method, [Buffer.from('x')]);
    expect(proxied).toEqual(direct);
    expect(proxied.code).toBe(status.UNIMPLEMENTED);
  });

  test.each(['/runtime.v1alpha2.ImageService/ListImages', '/runtime.v1.RuntimeService/Version', '/any.Thing/AtAll'])(
    'of %s passes, too',
    async (method) => {
      await startGrpcBackend(scope, runtimeSocket, { [method]: echoes([]) });
      const { messages } = await new GrpcCaller(scope, proxySocket).call(method, [Buffer.from('x')]);
      expect(String(messages[0])).toBe('x');
    },
  );

  test('keeps its compression', async () => {
    const encodings: unknown[] = [];
    await rawBackend((stream, headers) => {
      encodings.push(headers['grpc-encoding'], headers['grpc-accept-encoding']);
      stream.respond({ ':status': 200, 'grpc-status': '0' }, { endStream: true });
    });
    const caller = new GrpcCaller(scope, proxySocket, {
      'grpc.default_compression_algorithm': compressionAlgorithms.gzip,
    });
    await caller.call(echo, [Buffer.alloc(10_000, 'a')]);
    expect(encodings).toEqual(['gzip', 'identity,deflate,gzip']);
  });

  test('that has a deadline tells the runtime, and ends when it has passed', async () => {
    const cancelled = Promise.withResolvers<void>();
    const deadlines: unknown[] = [];
    await startGrpcBackend(scope, runtimeSocket, {
      [echo]: (call) => {
        deadlines.push(call.getDeadline());
        call.on('cancelled', () => cancelled.resolve());
      },
    });
    const deadline = Date.now() + 300;
    const { code } = await new GrpcCaller(scope, proxySocket).call(echo, [], new Metadata(), { deadline });
    expect(code).toBe(status.DEADLINE_EXCEEDED);
    await cancelled.promise;
    expect(Math.abs(Number(deadlines[0]) - deadline)).toBeLessThan(1000);
  });

  test('that is cancelled is cancelled at the runtime', async () => {
    const begun = Promise.withResolvers<void>();
    const cancelled = Promise.withResolvers<void>();
    await startGrpcBackend(scope, runtimeSocket, {
      [echo]: (call) => {
        call.on('data', () => begun.resolve());
        call.on('cancelled', () => cancelled.resolve());
      },
    });
    const stream = new GrpcCaller(scope, proxySocket).begin(echo);
    const observed = observe(stream);
    stream.write(Buffer.from('x'));
    await begun.promise;
    stream.cancel();
    await cancelled.promise;
    expect((await observed).code).toBe(status.CANCELLED);
  });

  test('whose client goes away altogether is cancelled at the runtime', async () => {
    const begun = Promise.withResolvers<void>();
    const cancelled = Promise.withResolvers<void>();
    await startGrpcBackend(scope, runtimeSocket, {
      [echo]: (call) => {
        begun.resolve();
        call.on('cancelled', () => cancelled.resolve());
      },
    });
    const socket = connectSocket(proxySocket);
    const session = connect('http://localhost', { createConnection: () => socket });
    session.on('error', () => undefined);
    const stream = session.request({
      ':method': 'POST',
      ':path': echo,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => undefined);
    await begun.promise;
    socket.destroy();
    await cancelled.promise;
  });
});

/** A bare HTTP/2 server in the runtime's place: for answers that grpc-js can't be made to give. */
async function rawBackend(
  handle: (stream: ServerHttp2Stream, headers: Record<string, unknown>, rawHeaders: string[]) => void,
): Promise<void> {
  const server = createServer();
  const sessions = new Set<{ destroy(): void }>();
  server.on('session', (session) => sessions.add(session));
  server.on('stream', (stream, headers, _flags, rawHeaders) => {
    stream.on('error', () => undefined);
    handle(stream, headers, rawHeaders as unknown as string[]);
  });
  server.listen(runtimeSocket);
  await once(server, 'listening');
  scope.defer(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
}

/** A bare HTTP/2 client of the proxy. */
function rawRequest(headers: Record<string, string | string[]>, body?: Buffer) {
  const session = connect('http://localhost', { createConnection: () => connectSocket(proxySocket) });
  scope.defer(() => session.destroy());
  const stream = session.request({ ':method': 'POST', ':path': echo, ...headers }, { endStream: body === undefined });
  stream.on('error', () => undefined);
  if (body !== undefined) stream.end(body);
  return stream;
}

describe('on the wire', () => {
  test('an answer of trailers alone stays one', async () => {
    await rawBackend((stream) => stream.respond({ ':status': 200, 'grpc-status': '5' }, { endStream: true }));
    const [headers, flags] = await once(rawRequest({}, Buffer.alloc(5)), 'response');
    expect(headers['grpc-status']).toBe('5');
    expect(flags & constants.NGHTTP2_FLAG_END_STREAM).not.toBe(0);
  });

  test.each([
    'NGHTTP2_REFUSED_STREAM',
    'NGHTTP2_ENHANCE_YOUR_CALM',
    'NGHTTP2_INTERNAL_ERROR',
    'NGHTTP2_CANCEL',
  ] as const)('a reset with %s reaches the client with its code', async (name) => {
    await rawBackend((stream) => stream.close(constants[name]));
    const stream = rawRequest({}, Buffer.alloc(5));
    await closed(stream);
    expect(stream.rstCode).toBe(constants[name]);
  });

  test("a client's reset reaches the runtime with its code", async () => {
    const reset = Promise.withResolvers<number>();
    const begun = Promise.withResolvers<void>();
    await rawBackend((stream) => {
      begun.resolve();
      stream.on('close', () => reset.resolve(stream.rstCode));
    });
    const stream = rawRequest({}, Buffer.alloc(5));
    await begun.promise;
    stream.close(constants.NGHTTP2_REFUSED_STREAM);
    expect(await reset.promise).toBe(constants.NGHTTP2_REFUSED_STREAM);
  });

  test('repeated headers keep their values apart and in order, both ways', async () => {
    let seen: string[] = [];
    await rawBackend((stream, _headers, rawHeaders) => {
      seen = rawHeaders;
      stream.respond({ ':status': 200, 'x-many': ['1', '2, 3'], 'grpc-status': '0' }, { endStream: true });
    });
    const stream = rawRequest({ 'x-many': ['a', 'b, c'] }, Buffer.alloc(5));
    const [, , rawHeaders] = await once(stream, 'response');
    expect(pairs(seen)).toContain('x-many=a x-many=b, c');
    expect(pairs(rawHeaders)).toContain('x-many=1 x-many=2, 3');
  });

  test('an answer that is complete before its request was ends the request', async () => {
    await rawBackend((stream) => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '8' }));
      stream.end(Buffer.from('early'));
    });
    const session = connect('http://localhost', { createConnection: () => connectSocket(proxySocket) });
    scope.defer(() => session.destroy());
    const stream = session.request({ ':method': 'POST', ':path': echo }, { endStream: false });
    const end = closed(stream);
    stream.resume();
    const [trailers] = await once(stream, 'trailers');
    expect(trailers['grpc-status']).toBe('8');
    await end;
    expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
  });

  test('a client that does not read holds the runtime back', async () => {
    const chunk = Buffer.alloc(MiB);
    const total = 96;
    let written = 0;
    await rawBackend((stream) => {
      stream.respond({ ':status': 200 });
      const fill = (): void => {
        while (written < total) {
          written += 1;
          if (!stream.write(chunk)) return void stream.once('drain', fill);
        }
        stream.end();
      };
      fill();
    });
    const stream = rawRequest({}, Buffer.alloc(5));
    await once(stream, 'response');
    // As long as the runtime goes on writing, the windows and buffers on the way aren't full.
    let before = -1;
    while (written !== before) {
      before = written;
      await delay(200);
    }
    expect(written).toBeLessThan(total / 2);
    let received = 0;
    for await (const part of stream) received += part.length;
    expect(received).toBe(total * MiB);
  });
});

/** Unlike `once`, takes the error before the end as a part of it. */
function closed(stream: EventEmitter): Promise<void> {
  return new Promise((resolve) => stream.on('close', resolve));
}

function pairs(rawHeaders: readonly string[]): string {
  const list: string[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) list.push(`${rawHeaders[at]}=${rawHeaders[at + 1]}`);
  return list.join(' ');
}
