import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TransferFailure } from '../../src/swarm/transfer/types.ts';
import { Scope } from '../harness/scope.ts';
import { waitFor } from '../harness/wait.ts';
import { createClient, digest, HeldPieces, KiB, startHostile } from './swarm-transfer-peers.ts';

const size = 64 * KiB;
const held = new HeldPieces([size]);
const { bytes: piece, crc32c } = held.at(0);
const head = (length: number, more = ''): string => `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n${more}\r\n`;

let scope: Scope;
beforeEach(() => {
  scope = new Scope();
});
afterEach(() => scope.close());

/** Writes a little again and again until the connection ends. */
function trickle(socket: Socket, text: string, everyMs: number): void {
  const timer = setInterval(() => socket.write(text), everyMs);
  socket.once('close', () => clearInterval(timer));
}

const tricks: readonly [string, TransferFailure, (socket: Socket) => void][] = [
  ['announces too few bytes', 'corrupt', (socket) => socket.end(head(size - 1) + 'x'.repeat(size - 1))],
  ['announces too many bytes', 'corrupt', (socket) => socket.write(head(size + 1) + 'x'.repeat(size + 1))],
  ['sends other bytes', 'corrupt', (socket) => socket.write(head(size) + 'x'.repeat(size))],
  ['announces the length of a universe', 'corrupt', (socket) => socket.write(head(999_999_999_999_999))],
  ['closes in the middle', 'unreachable', (socket) => socket.end(head(size) + 'x'.repeat(size - 1))],
  [
    'resets in the middle',
    'unreachable',
    (socket) => socket.write(head(size) + 'x'.repeat(1000), () => socket.resetAndDestroy()),
  ],
  ['closes at once', 'unreachable', (socket) => socket.end()],
  ['resets at once', 'unreachable', (socket) => socket.resetAndDestroy()],
  [
    'answers in chunks',
    'unreachable',
    (socket) => socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'),
  ],
  ['says to go on', 'unreachable', (socket) => socket.write('HTTP/1.1 100 Continue\r\n\r\n')],
  [
    'sends elsewhere',
    'unreachable',
    (socket) => socket.write('HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n'),
  ],
  ['speaks something else', 'unreachable', (socket) => socket.write('220 mail.example ESMTP\r\n\r\n')],
  ['floods with headers', 'unreachable', (socket) => trickle(socket, 'X-A: b\r\n'.repeat(1000), 1)],
  ['says nothing', 'unreachable', () => undefined],
  ['stops in the middle', 'unreachable', (socket) => socket.write(head(size) + 'x'.repeat(1000))],
  ['sends its headers by the byte', 'unreachable', (socket) => trickle(socket, 'H', 20)],
  [
    'sends its body by the byte',
    'unreachable',
    (socket) => {
      socket.write(head(size));
      trickle(socket, 'x', 20);
    },
  ],
];

describe('a peer that', () => {
  test.each(tricks)('%s is %s, soon, and nothing else suffers', async (_what, kind, play) => {
    const hostile = await startHostile(scope, play);
    const client = createClient(scope, { transferTimeout: 0.4 });
    const memory = Buffer.alloc(size + 200, 0xee);
    const destination = memory.subarray(100, 100 + size);
    const fetch = client.fetch({ peer: hostile.peer, key: { digest, index: 0 }, crc32c, destination });
    await expect(fetch).rejects.toMatchObject({ name: 'TransferError', kind });
    await waitFor(() => client.stat().connections === 0, { what: 'the end of the connection' });
    const around = Buffer.concat([memory.subarray(0, 100), memory.subarray(100 + size)]);
    expect(around.every((byte) => byte === 0xee)).toBe(true);
    expect(client.stat()).toMatchObject({ active: 0, failures: { [kind]: 1 } });
  });

  test('sends more after a piece does no harm: the piece is taken, the connection closed', async () => {
    const hostile = await startHostile(scope, (socket) => {
      socket.write(Buffer.concat([Buffer.from(head(size)), piece, Buffer.from('HTTP/1.1 200 OK\r\n\r\n')]));
    });
    const client = createClient(scope);
    const destination = Buffer.alloc(size);
    await client.fetch({ peer: hostile.peer, key: { digest, index: 0 }, crc32c, destination });
    expect(destination.equals(piece)).toBe(true);
    await waitFor(() => client.stat().connections === 0, { what: 'the end of the connection' });
  });

  test('closes each connection after its answer gets a new one for the next', async () => {
    const hostile = await startHostile(scope, (socket) => {
      socket.end(Buffer.concat([Buffer.from(head(size, 'Connection: close\r\n')), piece]));
    });
    const client = createClient(scope);
    for (let count = 1; count <= 3; count += 1) {
      const destination = Buffer.alloc(size);
      await client.fetch({ peer: hostile.peer, key: { digest, index: 0 }, crc32c, destination });
      expect(hostile.connections()).toBe(count);
    }
  });

  test('drops every request is asked twice at most', async () => {
    let answers = 0;
    const hostile = await startHostile(scope, (socket) => {
      answers += 1;
      if (answers > 1) {
        socket.destroy();
        return;
      }
      socket.write(Buffer.concat([Buffer.from(head(size)), piece]));
      socket.on('data', () => socket.destroy());
    });
    const client = createClient(scope);
    const fetch = () =>
      client.fetch({ peer: hostile.peer, key: { digest, index: 0 }, crc32c, destination: Buffer.alloc(size) });
    await fetch();
    await expect(fetch()).rejects.toMatchObject({ kind: 'unreachable' });
    expect(hostile.connections()).toBe(2);
  });
});
