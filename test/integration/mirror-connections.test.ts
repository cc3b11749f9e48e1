import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMirror, type Mirror, type MirrorOptions } from '../../src/mirror/mirror.ts';
import { PullError } from '../../src/pull/types.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { exchange, requestText } from '../harness/raw-http.ts';
import { ScriptedBackend } from '../harness/scripted-backend.ts';

const MiB = 1024 * 1024;
const chunk = 64 * 1024;
const blob = randomBytes(64 * chunk);
const forever = new Promise<never>(() => undefined);
/** Seconds: short enough for a test, long enough for a busy machine to deliver what is there at once. */
const bound = 0.5;

let backend: ScriptedBackend;
let mirror: Mirror | undefined;
let port: number;
let target: string;

beforeEach(async () => {
  backend = new ScriptedBackend();
  backend.chunkBytes = chunk;
  target = `/v2/app/blobs/${backend.addBlob(blob)}?ns=reg.test`;
});

afterEach(async () => {
  await mirror?.close();
  mirror = undefined;
  expect(backend).toMatchObject({ unreleased: 0, releasedTwice: 0 });
});

async function start(options: Partial<MirrorOptions> = {}): Promise<Mirror> {
  mirror = createMirror({
    host: '127.0.0.1',
    port: 0,
    backend,
    secret: 'secret',
    pathFormSessions: false,
    firstByteTimeout: 30,
    stallTimeout: 30,
    maxRequests: 16,
    log: createLogger({ name: 'test', level: 'silent' }),
    ...options,
  });
  await mirror.listen();
  port = mirror.address.port;
  return mirror;
}

const getBlob = (headers: Record<string, string> = {}) => exchange(port, requestText(target, headers));

/** Sends the request and gives the connection, whose bytes nobody reads yet. */
async function open(text = requestText(target)): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').pause();
  await once(socket, 'connect');
  socket.write(text);
  return socket;
}

const allReleased = () =>
  new Promise<void>((resolve) => {
    if (backend.unreleased === 0) resolve();
    else backend.onAllReleased = resolve;
  });

/** The work on the first read has ended. */
async function aborted(): Promise<void> {
  const [signal] = backend.signals;
  if (signal !== undefined && !signal.aborted) await once(signal, 'abort');
}

describe('an answer whose first byte does not come in time', () => {
  it.each(['open', 'chunk'] as const)('is 503, and the backend is told to stop (%s)', async (where) => {
    let signal: AbortSignal | undefined;
    const hang = (given: AbortSignal) => {
      signal = given;
      return forever;
    };
    if (where === 'open') backend.beforeOpen = hang;
    else backend.beforeChunk = (_offset, given) => hang(given);
    await start({ firstByteTimeout: bound });
    const answer = await getBlob();
    expect(answer).toMatchObject({ status: 503, end: 'complete' });
    expect(answer.body.toString()).toContain('mirror.firstByteTimeout');
    expect(signal?.aborted).toBe(true);
  });

  it('is 503 for a manifest and for a HEAD, too', async () => {
    backend.addManifest('v1', { mediaType: 'a/b', body: Buffer.from('{}') });
    backend.beforeOpen = () => forever;
    await start({ firstByteTimeout: bound });
    const manifest = requestText('/v2/app/manifests/v1?ns=reg.test');
    expect(await exchange(port, manifest)).toMatchObject({ status: 503 });
    expect(await exchange(port, requestText(target, {}, 'HEAD'), 'HEAD')).toMatchObject({ status: 503 });
  });

  it('gives back a chunk that comes too late', async () => {
    const late = Promise.withResolvers<void>();
    backend.beforeChunk = () => late.promise;
    await start({ firstByteTimeout: bound });
    expect((await getBlob()).status).toBe(503);
    const released = new Promise<void>((resolve) => {
      backend.onAllReleased = resolve;
    });
    late.resolve();
    await released;
  });
});

describe('a blob that stops in the middle', () => {
  const points = [1, 2, 3, 17, 40, 63];

  it.each(points)('after %i chunks by a stall ends with FIN behind the bytes that were there', async (chunks) => {
    backend.beforeChunk = (offset) => (offset === chunks * chunk ? forever : undefined);
    await start({ stallTimeout: bound });
    const answer = await getBlob();
    expect(answer.end).toBe('FIN');
    expect(answer.status).toBe(200);
    expect(answer.body.equals(blob.subarray(0, chunks * chunk))).toBe(true);
    expect(backend.signals[0]?.aborted).toBe(true);
  });

  it.each(points)(
    'after %i chunks by an error ends with FIN, also on a connection that served before',
    async (chunks) => {
      await start();
      const socket = await open();
      await readAnswer(socket, blob.length);
      backend.beforeChunk = (offset) => {
        if (offset === chunks * chunk) throw new PullError('corrupt', 'not what the digest says');
      };
      socket.write(requestText(target));
      const { body, end } = await readToEnd(socket);
      expect(end).toBe('FIN');
      expect(body.subarray(body.indexOf('\r\n\r\n') + 4).equals(blob.subarray(0, chunks * chunk))).toBe(true);
    },
  );

  it('ends with FIN even when the client has sent more in the meantime', async () => {
    const stalled = Promise.withResolvers<void>();
    const failure = Promise.withResolvers<void>();
    backend.beforeChunk = (offset) => {
      if (offset < chunk) return undefined;
      stalled.resolve();
      return failure.promise;
    };
    await start();
    const socket = await open();
    await stalled.promise;
    socket.write(requestText('/v2/').repeat(500));
    failure.reject(new PullError('unavailable', 'gone'));
    const { body, end } = await readToEnd(socket);
    expect(end).toBe('FIN');
    expect(body.subarray(body.indexOf('\r\n\r\n') + 4).equals(blob.subarray(0, chunk))).toBe(true);
  });

  it('ends with FIN for a client that reads slowly, behind everything that was there', async () => {
    backend.chunkBytes = 4 * MiB;
    const large = randomBytes(16 * MiB);
    const digest = backend.addBlob(large);
    backend.beforeChunk = (offset) => {
      if (offset === 12 * MiB) throw new PullError('unavailable', 'gone');
    };
    await start();
    const socket = await open(requestText(`/v2/app/blobs/${digest}?ns=reg.test`));
    const { body, end } = await readToEnd(socket);
    expect(end).toBe('FIN');
    expect(body.subarray(body.indexOf('\r\n\r\n') + 4).equals(large.subarray(0, 12 * MiB))).toBe(true);
  });

  it('can be continued by the client with a range on a new connection', async () => {
    backend.beforeChunk = (offset) => {
      if (offset === 5 * chunk) throw new PullError('unavailable', 'gone');
    };
    await start();
    const first = await getBlob();
    backend.beforeChunk = () => undefined;
    const rest = await getBlob({ Range: `bytes=${first.body.length}-` });
    expect(rest.status).toBe(206);
    expect(Buffer.concat([first.body, rest.body]).equals(blob)).toBe(true);
  });

  it.each(['more', 'fewer'])(
    'because the backend gives %s bytes than it promised never has a wrong byte',
    async (kind) => {
      await start();
      const size = kind === 'more' ? blob.length - 10 : blob.length + 10;
      const openBlob = backend.openBlob.bind(backend);
      backend.openBlob = async (...args) => {
        const opened = await openBlob(...args);
        return { ...opened, size, read: (from, _to, signal) => opened.read(from, blob.length, signal) };
      };
      const answer = await getBlob();
      expect(answer.end).toBe('FIN');
      expect(blob.subarray(0, answer.body.length).equals(answer.body)).toBe(true);
      expect(answer.body.length).toBeLessThan(size);
    },
  );
});

describe('a client that reads slowly', () => {
  it.each([
    [4 * MiB, 2],
    // 2 MiB of them, and the one that fills it.
    [256 * 1024, 9],
  ])('of chunks of %i bytes holds no more than %i, and gets every byte in the end', async (chunkBytes, most) => {
    backend.chunkBytes = chunkBytes;
    const large = randomBytes(48 * MiB);
    const digest = backend.addBlob(large);
    await start();
    const socket = await open(requestText(`/v2/app/blobs/${digest}?ns=reg.test`));
    await once(socket, 'readable');
    const { body } = await readAnswer(socket, large.length);
    socket.destroy();
    expect(body.equals(large)).toBe(true);
    expect(backend.mostUnreleased).toBeLessThanOrEqual(most);
  });
});

describe('a client that reads no more', () => {
  it('is given up after a while, and everything is let go of', async () => {
    backend.chunkBytes = 4 * MiB;
    const digest = backend.addBlob(randomBytes(48 * MiB));
    await start({ clientTimeout: bound });
    const socket = await open(requestText(`/v2/app/blobs/${digest}?ns=reg.test`));
    await once(socket, 'readable');
    await aborted();
    await allReleased();
    socket.destroy();
  });

  it('is not mistaken for one that waits for a slow backend', async () => {
    backend.beforeOpen = () => delay(3 * bound * 1000);
    await start({ clientTimeout: bound });
    expect((await getBlob()).body.equals(blob)).toBe(true);
  });
});

describe('a client that goes away', () => {
  it.each(['destroy', 'resetAndDestroy'] as const)('lets go of everything (%s)', async (leave) => {
    backend.chunkBytes = 4 * MiB;
    const digest = backend.addBlob(randomBytes(48 * MiB));
    await start();
    const socket = await open(requestText(`/v2/app/blobs/${digest}?ns=reg.test`));
    await once(socket, 'readable');
    socket[leave]();
    await aborted();
    await allReleased();
  });

  it('while the backend is waited for ends the work at once', async () => {
    const waiting = Promise.withResolvers<AbortSignal>();
    backend.beforeOpen = (signal) => {
      waiting.resolve(signal);
      return forever;
    };
    await start();
    const socket = await open();
    const signal = await waiting.promise;
    const ended = once(signal, 'abort');
    socket.destroy();
    await ended;
  });
});

describe('one connection', () => {
  it('serves many requests, one after the other', async () => {
    await start();
    const socket = await open('');
    for (let round = 0; round < 50; round += 1) {
      const length = 1 + round * 10_000;
      socket.write(requestText(target, { Range: `bytes=-${length}` }));
      const { body } = await readAnswer(socket, length);
      expect(body.equals(blob.subarray(-length))).toBe(true);
    }
    socket.destroy();
  });

  it('serves only one at a time: a second request before the answer gets 503 behind it', async () => {
    await start();
    const text = requestText(target) + requestText('/v2/', { Connection: 'close' });
    const socket = await open(text);
    const { body } = await readToEnd(socket);
    const second = body.subarray(body.indexOf('\r\n\r\n') + 4 + blob.length).toString();
    expect(second).toMatch(/^HTTP\/1.1 503 /);
  });
});

describe('too many requests', () => {
  it('get 503 at once, and others are served again when one has ended', async () => {
    const waiting = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    backend.beforeOpen = () => {
      waiting.resolve();
      return go.promise;
    };
    await start({ maxRequests: 1 });
    const first = getBlob();
    await waiting.promise;
    const refused = await getBlob();
    expect(refused.status).toBe(503);
    expect(refused.body.toString()).toContain('p2p.proxyFsParallels');
    go.resolve();
    expect((await first).status).toBe(200);
    expect((await getBlob()).status).toBe(200);
  });
});

describe('the mirror', () => {
  it('says which port is taken, and which key moves it', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const address = other.address();
    const taken = typeof address === 'object' && address !== null ? address.port : 0;
    await expect(start({ port: taken })).rejects.toThrow(
      new RegExp(`127\\.0\\.0\\.1:${taken}: another process listens on port ${taken}.*mirror\\.port`),
    );
    mirror = undefined;
    other.close();
  });

  it('ends what it is in the middle of with FIN when it closes, and idle connections, too', async () => {
    const reached = Promise.withResolvers<void>();
    backend.beforeChunk = (offset) => {
      if (offset < 3 * chunk) return undefined;
      reached.resolve();
      return forever;
    };
    const running = await start();
    const idle = await open(requestText('/v2/'));
    await readAnswer(idle, 2);
    const answer = getBlob();
    await reached.promise;
    const idleEnd = readToEnd(idle);
    await running.close();
    expect((await answer).end).toBe('FIN');
    expect((await answer).body.equals(blob.subarray(0, 3 * chunk))).toBe(true);
    expect((await idleEnd).end).toBe('FIN');
    await expect(getBlob()).resolves.toMatchObject({ end: 'ECONNREFUSED' });
  });
});

/** Reads one answer with a body of `length` bytes; the connection stays open. */
async function readAnswer(socket: Socket, length: number): Promise<{ body: Buffer }> {
  const chunks: Buffer[] = [];
  let received = 0;
  let headerEnd = -1;
  return await new Promise((resolve, reject) => {
    const onData = (bytes: Buffer) => {
      chunks.push(bytes);
      received += bytes.length;
      if (headerEnd < 0) headerEnd = Buffer.concat(chunks).indexOf('\r\n\r\n');
      if (headerEnd < 0 || received < headerEnd + 4 + length) return;
      socket.off('data', onData).off('error', reject).pause();
      resolve({ body: Buffer.concat(chunks).subarray(headerEnd + 4) });
    };
    socket.on('data', onData).once('error', reject).resume();
  });
}

/** Reads until the other side ends the connection. */
async function readToEnd(socket: Socket): Promise<{ body: Buffer; end: string }> {
  const chunks: Buffer[] = [];
  const end = await new Promise<string>((resolve) => {
    socket.on('data', (bytes: Buffer) => chunks.push(bytes));
    socket.once('end', () => resolve('FIN'));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.resume();
  });
  socket.destroy();
  return { body: Buffer.concat(chunks), end };
}
