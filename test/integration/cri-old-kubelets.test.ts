import { once } from 'node:events';
import { createServer } from 'node:http2';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CriProxy } from '../../src/cri/proxy.ts';
import { frame, frameFlags, frameTypes, indexed, literal, preface } from '../harness/http2-frames.ts';
import { keptLog } from '../harness/log-lines.ts';
import { noSessions } from '../harness/pull-sessions.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

/** RFC 7541, appendix A; 62 is the newest entry of the dynamic table. */
const methodPost = indexed(3);
const schemeHttp = indexed(6);
const dynamicNewest = 62;

let scope: Scope;
let socket: Socket;
let proxySocket: string;
const seen: Array<{ authority: unknown; path: unknown; body: string }> = [];

beforeEach(async () => {
  scope = new Scope();
  seen.length = 0;
  const folder = await temporaryFolder(scope, 'cri');
  const runtimeSocket = path.join(folder, 'runtime.sock');
  proxySocket = path.join(folder, 'shoal.sock');
  const runtime = createServer();
  runtime.on('stream', async (stream, headers) => {
    let body = '';
    for await (const chunk of stream) body += String(chunk);
    seen.push({ authority: headers[':authority'], path: headers[':path'], body });
    stream.respond({ ':status': 200, 'grpc-status': '0' }, { endStream: true });
  });
  runtime.listen(runtimeSocket);
  await once(runtime, 'listening');
  scope.defer(() => runtime.close());
  const proxy = new CriProxy({ runtimeSocket, sessions: noSessions, log: keptLog().log });
  await proxy.listen({ path: proxySocket });
  scope.defer(() => proxy.close(0));
  socket = connect(proxySocket);
  scope.defer(() => socket.destroy());
});
afterEach(() => scope.close());

/** Reads the server's frames until the stream has ended, answering SETTINGS as a client must. */
async function ended(stream: number): Promise<'answered' | 'reset'> {
  let bytes = Buffer.alloc(0);
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    bytes = Buffer.concat([bytes, chunk]);
    while (bytes.length >= 9 && bytes.length >= 9 + bytes.readUIntBE(0, 3)) {
      const type = bytes[3];
      const flags = bytes[4] ?? 0;
      const id = bytes.readUInt32BE(5);
      bytes = bytes.subarray(9 + bytes.readUIntBE(0, 3));
      if (type === frameTypes.settings && (flags & 1) === 0)
        socket.write(frame(frameTypes.settings, 1, 0, Buffer.alloc(0)));
      if (type === frameTypes.rstStream && id === stream) return 'reset';
      if (type === frameTypes.headers && id === stream && (flags & frameFlags.endStream) !== 0) return 'answered';
    }
  }
  throw new Error('the proxy closed the connection');
}

function request(stream: number, authority: Buffer, body: string): Buffer {
  const block = Buffer.concat([
    methodPost,
    schemeHttp,
    literal(4, '/runtime.v1.ImageService/ListImages', 'plain'),
    authority,
  ]);
  return Buffer.concat([
    frame(frameTypes.headers, frameFlags.endHeaders, stream, block),
    frame(frameTypes.data, frameFlags.endStream, stream, Buffer.from(body)),
  ]);
}

const hello = Buffer.concat([preface, frame(frameTypes.settings, 0, 0, Buffer.alloc(0))]);

describe("a kubelet that sends the socket's path as :authority", () => {
  test.each(['plain', 'huffman'] as const)(
    'is served, its path %s-coded, later requests by the table, too',
    async (coding) => {
      const authority = proxySocket;
      socket.write(Buffer.concat([hello, request(1, literal(1, authority, 'indexed', coding), 'first')]));
      expect(await ended(1)).toBe('answered');
      socket.write(request(3, indexed(dynamicNewest), 'second'));
      expect(await ended(3)).toBe('answered');
      const mended = authority.replaceAll('/', '-');
      expect(seen).toEqual(
        ['first', 'second'].map((body) => ({
          authority: mended,
          path: '/runtime.v1.ImageService/ListImages',
          body,
        })),
      );
    },
  );

  test('is served when its bytes come one by one and its header block in several frames', async () => {
    const block = Buffer.concat([methodPost, schemeHttp, literal(4, '/x', 'plain'), literal(1, '/run/s.sock')]);
    const bytes = Buffer.concat([
      hello,
      frame(frameTypes.headers, 0, 1, block.subarray(0, 9)),
      frame(frameTypes.continuation, 0, 1, block.subarray(9, 12)),
      frame(frameTypes.continuation, frameFlags.endHeaders, 1, block.subarray(12)),
      frame(frameTypes.data, frameFlags.endStream, 1, Buffer.from('/run')),
    ]);
    socket.setNoDelay(true);
    for (const byte of bytes) await new Promise((resolve) => socket.write(Buffer.from([byte]), resolve));
    expect(await ended(1)).toBe('answered');
    expect(seen).toEqual([{ authority: '-run-s.sock', path: '/x', body: '/run' }]);
  });
});

test('a client that breaks the protocol loses its own connection alone', async () => {
  socket.write(Buffer.concat([hello, frame(frameTypes.continuation, 0, 1, Buffer.alloc(4))]));
  socket.resume();
  await once(socket, 'close');
  socket = connect(proxySocket);
  scope.defer(() => socket.destroy());
  socket.write(Buffer.concat([hello, request(1, literal(1, 'localhost'), 'still there')]));
  expect(await ended(1)).toBe('answered');
});
