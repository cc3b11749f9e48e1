import { randomInt } from 'node:crypto';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { native } from '../../src/native/index.ts';
import { TransferError } from '../../src/swarm/transfer/types.ts';
import { UploadSlots } from '../../src/swarm/transfer/upload-slots.ts';
import { freePort } from '../harness/ports.ts';
import { exchange, requestText } from '../harness/raw-http.ts';
import { Scope } from '../harness/scope.ts';
import { waitFor } from '../harness/wait.ts';
import { createClient, digest, HeldPieces, KiB, MiB, startServer } from './swarm-transfer-peers.ts';

let scope: Scope;
beforeEach(() => {
  scope = new Scope();
});
afterEach(() => scope.close());

const path = (index: number): string => `/v1/blobs/${digest}/pieces/${index}`;

/** Slots that stay as many as they are. */
const fixedSlots = (count: number): UploadSlots => new UploadSlots({ now: () => 0, initial: count, most: count });

describe('a piece from a peer', () => {
  test('comes byte for byte into the memory that was given, over one connection after another request', async () => {
    const held = new HeldPieces([4 * MiB, 1, 256 * KiB, 4 * MiB - 1]);
    const { server, peer } = await startServer(scope, held);
    const client = createClient(scope);
    for (const [index, { bytes, crc32c }] of held.pieces.entries()) {
      const destination = Buffer.alloc(bytes.length);
      await client.fetch({ peer, key: { digest, index }, crc32c, destination });
      expect(destination.equals(bytes)).toBe(true);
    }
    expect(client.stat()).toMatchObject({ active: 0, connections: 1, pieces: 4 });
    await waitFor(() => server.stat().active === 0, { what: 'the slots' });
    expect(server.stat()).toMatchObject({ connections: 1, served: 4, busy: 0, absent: 0 });
    expect(server.stat().bytes).toBe(held.pieces.reduce((sum, { bytes }) => sum + bytes.length, 0));
    expect(held.pins).toBe(0);
  });

  test('comes beside many others over few connections', async () => {
    const held = new HeldPieces(Array.from({ length: 32 }, () => randomInt(1, 512 * KiB)));
    const { server, peer } = await startServer(scope, held, { slots: fixedSlots(64) });
    const client = createClient(scope, { connectionsPerPeer: 3 });
    const fetches = held.pieces.map(async ({ bytes, crc32c }, index) => {
      const destination = Buffer.alloc(bytes.length);
      await client.fetch({ peer, key: { digest, index }, crc32c, destination });
      return destination.equals(bytes);
    });
    expect(await Promise.all(fetches)).not.toContain(false);
    expect(server.stat().connections).toBe(3);
  });

  test('that the peer does not have is absent; the connection serves on', async () => {
    const held = new HeldPieces([100]);
    const { server, peer } = await startServer(scope, held);
    const client = createClient(scope);
    const destination = Buffer.alloc(100);
    const { crc32c } = held.at(0);
    await expect(client.fetch({ peer, key: { digest, index: 1 }, crc32c, destination })).rejects.toMatchObject({
      kind: 'absent',
    });
    await client.fetch({ peer, key: { digest, index: 0 }, crc32c, destination });
    expect(client.stat()).toMatchObject({ connections: 1, failures: { absent: 1 } });
    expect(server.stat()).toMatchObject({ absent: 1, served: 1 });
  });

  test('whose checksum is another than the directory says is corrupt, whatever the peer says of it', async () => {
    const held = new HeldPieces([100]);
    const { peer } = await startServer(scope, held);
    const client = createClient(scope);
    const request = { peer, key: { digest, index: 0 }, destination: Buffer.alloc(100) };
    const wrong = client.fetch({ ...request, crc32c: held.at(0).crc32c ^ 1 });
    await expect(wrong).rejects.toMatchObject({ kind: 'corrupt', message: expect.stringContaining(peer.address) });
    await expect(wrong).rejects.toBeInstanceOf(TransferError);
  });

  test('may only have a length that pieces have', async () => {
    const client = createClient(scope);
    const peer = { id: 'x', address: '127.0.0.1:1' };
    for (const length of [0, 4 * MiB + 1]) {
      const destination = Buffer.alloc(length);
      await expect(client.fetch({ peer, key: { digest, index: 0 }, crc32c: 0, destination })).rejects.toThrow(
        RangeError,
      );
    }
  });

  test('is never asked of more connections at once than there may be requests', async () => {
    const held = new HeldPieces([10]);
    let inside = 0;
    let most = 0;
    const provider = {
      async get() {
        inside += 1;
        most = Math.max(most, inside);
        await new Promise((resolve) => setImmediate(resolve));
        inside -= 1;
        return held.get({ digest, index: 0 });
      },
    };
    const peers = await Promise.all([1, 2, 3].map(() => startServer(scope, provider, { slots: fixedSlots(64) })));
    const client = createClient(scope, { maxRequests: 5 });
    const { crc32c } = held.at(0);
    const all = Array.from({ length: 60 }, (_, at) => {
      const peer = peers[at % 3]?.peer ?? { id: '', address: '' };
      return client.fetch({ peer, key: { digest, index: 0 }, crc32c, destination: Buffer.alloc(10) });
    });
    await Promise.all(all);
    expect(most).toBeLessThanOrEqual(5);
    expect(most).toBeGreaterThan(1);
  });
});

describe('a peer without a free upload slot', () => {
  test('says so at once, and gives the piece once it has one', async () => {
    const held = new HeldPieces([1000]);
    const waiting = Promise.withResolvers<void>();
    const provider = {
      async get(key: { digest: string; index: number }) {
        await waiting.promise;
        return held.get(key);
      },
    };
    const { server, peer } = await startServer(scope, provider, { slots: fixedSlots(1) });
    const client = createClient(scope);
    const { crc32c } = held.at(0);
    const fetch = () => client.fetch({ peer, key: { digest, index: 0 }, crc32c, destination: Buffer.alloc(1000) });
    const first = fetch();
    await waitFor(() => server.stat().active === 1, { what: 'the first upload' });
    await expect(fetch()).rejects.toMatchObject({ kind: 'busy' });
    waiting.resolve();
    await first;
    await waitFor(() => server.stat().active === 0, { what: 'the slot' });
    await fetch();
    expect(server.stat()).toMatchObject({ busy: 1, served: 2 });
  });
});

describe('a limit in bytes per second', () => {
  test('of the sender is kept over all uploads together', async () => {
    const held = new HeldPieces([512 * KiB, 512 * KiB]);
    const rateLimit = 1 * MiB;
    const { peer } = await startServer(scope, held, { rateLimit });
    const client = createClient(scope);
    const begin = performance.now();
    const all = held.pieces.map(({ crc32c }, index) =>
      client.fetch({ peer, key: { digest, index }, crc32c, destination: Buffer.alloc(512 * KiB) }),
    );
    await Promise.all(all);
    // All but the burst of a quarter of a second has to wait.
    expect(performance.now() - begin).toBeGreaterThan(700);
  });

  test('of the receiver delays requests, not those that have begun, and an abort ends the wait', async () => {
    const held = new HeldPieces([512 * KiB]);
    const { server, peer } = await startServer(scope, held);
    const client = createClient(scope, { rateLimit: 512 * KiB });
    const { crc32c } = held.at(0);
    const fetch = (signal?: AbortSignal) =>
      client.fetch({
        peer,
        key: { digest, index: 0 },
        crc32c,
        destination: Buffer.alloc(512 * KiB),
        ...(signal ? { signal } : {}),
      });
    await fetch();
    const begin = performance.now();
    const impatient = new AbortController();
    const abandoned = fetch(impatient.signal);
    impatient.abort(new Error('enough'));
    await expect(abandoned).rejects.toThrow('enough');
    await fetch();
    expect(performance.now() - begin).toBeGreaterThan(900);
    expect(server.stat().served).toBe(2);
  });
});

describe('a transfer that is aborted', () => {
  test('writes nothing to its memory any more', async () => {
    const held = new HeldPieces([4 * MiB]);
    // So slow that most of the piece is still to come.
    const { peer } = await startServer(scope, held, { rateLimit: 1 * MiB });
    const client = createClient(scope);
    const destination = Buffer.alloc(4 * MiB);
    const abort = new AbortController();
    const fetching = client.fetch({
      peer,
      key: { digest, index: 0 },
      crc32c: held.at(0).crc32c,
      destination,
      signal: abort.signal,
    });
    await waitFor(() => destination[0] === held.at(0).bytes[0] && destination[100] === held.at(0).bytes[100], {
      what: 'the first bytes',
    });
    abort.abort(new Error('no longer wanted'));
    await expect(fetching).rejects.toThrow('no longer wanted');
    destination.fill(0);
    await waitFor(() => held.pins === 0, { what: 'the pin' });
    expect(destination.every((byte) => byte === 0)).toBe(true);
  });

  test('leaves no socket and no pin behind, thousands of times', async () => {
    const held = new HeldPieces(Array.from({ length: 16 }, (_, at) => (at + 1) * 16 * KiB));
    const { server, peer } = await startServer(scope, held, { slots: fixedSlots(64) });
    const client = createClient(scope, { connectionsPerPeer: 8 });
    const outcomes = { done: 0, aborted: 0 };
    const worker = async (): Promise<void> => {
      for (let count = 0; count < 130; count += 1) {
        const index = randomInt(16);
        const { bytes, crc32c } = held.at(index);
        const destination = Buffer.alloc(bytes.length);
        const abort = new AbortController();
        const turns = randomInt(8);
        const later = (left: number): void => {
          if (left === 0) abort.abort(new Error('aborted'));
          else setImmediate(later, left - 1);
        };
        if (turns > 2) later(turns);
        try {
          await client.fetch({ peer, key: { digest, index }, crc32c, destination, signal: abort.signal });
          outcomes.done += 1;
          expect(destination.equals(bytes)).toBe(true);
        } catch (error) {
          expect(error).toBe(abort.signal.reason);
          outcomes.aborted += 1;
        }
      }
    };
    await Promise.all(Array.from({ length: 16 }, worker));
    expect(outcomes.done).toBeGreaterThan(100);
    expect(outcomes.aborted).toBeGreaterThan(100);
    await waitFor(() => held.pins === 0 && server.stat().active === 0, { what: 'pins and slots' });
    expect(client.stat().active).toBe(0);
    expect(client.stat().connections).toBeLessThanOrEqual(8);
    client.close();
    await waitFor(() => server.stat().connections === 0, { what: 'the connections to end' });
    await waitFor(() => client.stat().connections === 0, { what: 'the connections to be forgotten' });
  });
});

describe('a connection', () => {
  test('that the peer closed while it was idle is replaced without anybody noticing', async () => {
    const held = new HeldPieces([1000]);
    const port = await freePort();
    const { server, peer } = await startServer(scope, held, { port });
    const client = createClient(scope);
    const { crc32c } = held.at(0);
    const fetch = () => client.fetch({ peer, key: { digest, index: 0 }, crc32c, destination: Buffer.alloc(1000) });
    await fetch();
    await server.close();
    await startServer(scope, held, { port });
    await fetch();
    expect(client.stat()).toMatchObject({ pieces: 2, failures: { unreachable: 0 } });
  });

  test('to a dead peer fails at once for everybody who waits for it', async () => {
    const client = createClient(scope);
    const peer = { id: 'dead', address: `127.0.0.1:${await freePort()}` };
    const all = Array.from({ length: 20 }, () =>
      client.fetch({ peer, key: { digest, index: 0 }, crc32c: 0, destination: Buffer.alloc(10) }),
    );
    for (const result of await Promise.allSettled(all)) {
      expect(result).toMatchObject({ status: 'rejected', reason: { kind: 'unreachable' } });
    }
    expect(client.stat().active).toBe(0);
    await waitFor(() => client.stat().connections === 0, { what: 'the sockets to be gone' });
  });

  test('is closed after its idle time', async () => {
    const held = new HeldPieces([10]);
    const { server, peer } = await startServer(scope, held);
    const client = createClient(scope, { idleTimeout: 0.05 });
    await client.fetch({ peer, key: { digest, index: 0 }, crc32c: held.at(0).crc32c, destination: Buffer.alloc(10) });
    await waitFor(() => server.stat().connections === 0, { what: 'the end of the connection' });
  });

  test('ends with its client, and fetches with it', async () => {
    const provider = { get: () => new Promise<undefined>(() => undefined) };
    const { peer } = await startServer(scope, provider);
    const client = createClient(scope);
    const fetch = client.fetch({ peer, key: { digest, index: 0 }, crc32c: 0, destination: Buffer.alloc(10) });
    const ended = expect(fetch).rejects.toMatchObject({ kind: 'unreachable', message: 'the agent stops' });
    client.close();
    await ended;
    await expect(
      client.fetch({ peer, key: { digest, index: 0 }, crc32c: 0, destination: Buffer.alloc(10) }),
    ).rejects.toThrow('the agent stops');
  });
});

describe('the piece server', () => {
  test('can be asked with curl: whole, in part, and what it does not have', async () => {
    const held = new HeldPieces([1000]);
    const { server } = await startServer(scope, held);
    const { port } = server.address;
    const whole = await exchange(port, requestText(path(0)));
    expect(whole.status).toBe(200);
    expect(whole.body.equals(held.at(0).bytes)).toBe(true);
    expect(whole.headers.get('x-shoal-crc32c')).toBe(native.crc32c(held.at(0).bytes).toString(16).padStart(8, '0'));
    const part = await exchange(port, requestText(path(0), { Range: 'bytes=10-19' }));
    expect(part.status).toBe(206);
    expect(part.headers.get('content-range')).toBe('bytes 10-19/1000');
    expect(part.body.equals(held.at(0).bytes.subarray(10, 20))).toBe(true);
    const beyond = await exchange(port, requestText(path(0), { Range: 'bytes=1000-' }));
    expect(beyond.status).toBe(416);
    expect(beyond.headers.get('content-range')).toBe('bytes */1000');
    expect((await exchange(port, requestText(path(1)))).status).toBe(404);
    expect((await exchange(port, requestText('/etc/passwd')))?.status).toBe(404);
    await waitFor(() => held.pins === 0, { what: 'the pins' });
  });

  test.each([
    ['another method', `POST ${path(0)} HTTP/1.1\r\nHost: x\r\n\r\n`, 405],
    ['a body', `GET ${path(0)} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello`, 400],
    ['an expectation', `GET ${path(0)} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n`, 417],
  ])('refuses %s and closes the connection', async (_what, text, status) => {
    const held = new HeldPieces([1000]);
    const { server } = await startServer(scope, held);
    const answer = await exchange(server.address.port, text);
    expect(answer.status).toBe(status);
    expect(answer.headers.get('connection')).toBe('close');
    await waitFor(() => server.stat().connections === 0, { what: 'the end of the connection' });
    expect(held.pins).toBe(0);
  });

  test.each([
    ['a flood of headers', `GET ${path(0)} HTTP/1.1\r\n${'X-A: b\r\n'.repeat(2000)}`],
    ['what is no HTTP', '\u0016\u0003\u0001\u0002\u0000\r\n\r\n'],
    ['an upgrade', `GET ${path(0)} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n`],
  ])('cuts off %s', async (_what, text) => {
    const { server } = await startServer(scope, new HeldPieces([1000]));
    const socket = connect(server.address.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(text);
    await new Promise((resolve) => socket.once('close', resolve));
    await waitFor(() => server.stat().connections === 0, { what: 'the end of the connection' });
  });

  test('gives up a requester that takes nothing, and its piece is free again', async () => {
    const held = new HeldPieces([4 * MiB, 4 * MiB, 4 * MiB]);
    const { server } = await startServer(scope, held, { transferTimeout: 0.3 });
    const socket = connect(server.address.port, '127.0.0.1');
    scope.defer(() => socket.destroy());
    socket.pause();
    socket.on('error', () => undefined);
    // More than the kernel buffers for a connection.
    socket.write([0, 1, 2].map((index) => requestText(path(index))).join(''));
    await waitFor(() => held.pins > 0, { what: 'an upload' });
    await waitFor(() => held.pins === 0 && server.stat().active === 0, { what: 'the pins' });
    expect(server.stat().served).toBeLessThan(3);
  });

  test('gives up a requester that takes its piece too slowly, though it never stops', async () => {
    const indexes = [0, 1, 2, 3, 4, 5];
    const held = new HeldPieces(indexes.map(() => 4 * MiB));
    // It takes 4 MiB/s where 16 are asked: 0.75 s are not enough for a piece once the kernel's buffers are full.
    const { server } = await startServer(scope, held, { transferTimeout: 0.5, slowestRate: 16 * MiB });
    const socket = connect(server.address.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.on('readable', () => undefined);
    socket.write(indexes.map((index) => requestText(path(index))).join(''));
    const timer = setInterval(() => socket.read(64 * KiB), 16);
    scope.defer(() => {
      clearInterval(timer);
      socket.destroy();
    });
    await waitFor(() => held.pins > 0, { what: 'an upload' });
    await waitFor(() => held.pins === 0 && server.stat().active === 0, { what: 'the pins' });
    expect(server.stat().served).toBeLessThan(indexes.length);
  });

  test('gives up who takes too long to ask', async () => {
    const { server } = await startServer(scope, new HeldPieces([10]), { requestTimeout: 0.2 });
    const socket = connect(server.address.port, '127.0.0.1');
    socket.on('error', () => undefined);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write('GET / HTTP/1.1\r\n');
    const timer = setInterval(() => socket.write('X-A: b\r\n'), 50);
    scope.defer(() => clearInterval(timer));
    await closed;
    await waitFor(() => server.stat().connections === 0, { what: 'the end of the connection' });
  });

  test('takes only so many connections from one address', async () => {
    const held = new HeldPieces([10]);
    const { server } = await startServer(scope, held, { connectionsPerAddress: 2 });
    const sockets = [1, 2].map(() => connect(server.address.port, '127.0.0.1'));
    scope.defer(() => {
      for (const socket of sockets) socket.destroy();
    });
    await waitFor(() => server.connections === 2, { what: 'two connections' });
    const third = connect(server.address.port, '127.0.0.1');
    third.on('error', () => undefined);
    await new Promise((resolve) => third.once('close', resolve));
    sockets[0]?.destroy();
    await waitFor(() => server.connections === 1, { what: 'one connection' });
    expect((await exchange(server.address.port, requestText(path(0)))).status).toBe(200);
  });

  test('cuts the connection when a piece cannot be read, and goes on', async () => {
    const held = new HeldPieces([10]);
    let broken = true;
    const provider = {
      async get(key: { digest: string; index: number }) {
        if (broken) throw new Error('EIO');
        return held.get(key);
      },
    };
    const { server, peer } = await startServer(scope, provider);
    const client = createClient(scope);
    const { crc32c } = held.at(0);
    const fetch = () => client.fetch({ peer, key: { digest, index: 0 }, crc32c, destination: Buffer.alloc(10) });
    await expect(fetch()).rejects.toMatchObject({ kind: 'unreachable' });
    broken = false;
    await fetch();
    expect(server.stat().active).toBe(0);
  });

  test('says what is wrong with a port that is taken', async () => {
    const { server } = await startServer(scope, new HeldPieces([]));
    const again = startServer(scope, new HeldPieces([]), { port: server.address.port });
    await expect(again).rejects.toThrow(/another process listens on port \d+\. Stop it, or set p2p\.port/);
  });

  test('stops although pieces are being sent', async () => {
    const held = new HeldPieces([4 * MiB]);
    const { server, peer } = await startServer(scope, held, { rateLimit: 256 * KiB });
    const client = createClient(scope);
    const fetch = client.fetch({
      peer,
      key: { digest, index: 0 },
      crc32c: held.at(0).crc32c,
      destination: Buffer.alloc(4 * MiB),
    });
    const failed = expect(fetch).rejects.toMatchObject({ kind: 'unreachable' });
    await waitFor(() => held.pins === 1, { what: 'the upload' });
    await server.close();
    await failed;
    await waitFor(() => held.pins === 0, { what: 'the pin' });
  });
});
