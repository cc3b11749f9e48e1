import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createMirror } from '../../src/mirror/mirror.ts';
import { native } from '../../src/native/index.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { run } from '../harness/process.ts';
import { ScriptedBackend } from '../harness/scripted-backend.ts';

const KiB = 1024;
let server: Server;
let client: Socket | undefined;

beforeEach(() => {
  server = createServer((socket) => socket.on('error', () => undefined));
});

afterEach(() => {
  client?.destroy();
  client = undefined;
  server.close();
});

/** What the kernel reports as the send buffer of the accepted side of a new connection: twice what was asked for. */
async function sendBufferOf(port: number): Promise<number> {
  client = connect(port, '127.0.0.1');
  await once(client, 'connect');
  const report = await run(['ss', '-tmnH', 'state', 'established', `sport = :${port}`]);
  return Number(/skmem:\([^)]*\btb(\d+)/.exec(report)?.[1]);
}

test('the connections of a listening server get the send buffer that it was given', async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  expect(native.limitSendBuffer(server, 96 * KiB)).toBe(true);
  expect(await sendBufferOf((server.address() as AddressInfo).port)).toBe(2 * 96 * KiB);
});

test('a server that does not listen is left as it is', () => {
  expect(native.limitSendBuffer(server, 96 * KiB)).toBe(false);
});

test("the mirror's connections have 256 KiB", async () => {
  const mirror = createMirror({
    host: '127.0.0.1',
    port: 0,
    backend: new ScriptedBackend(),
    secret: 'secret',
    pathFormSessions: false,
    firstByteTimeout: 30,
    stallTimeout: 30,
    maxRequests: 16,
    limitSendBuffer: native.limitSendBuffer,
    log: createLogger({ name: 'test', level: 'silent' }),
  });
  await mirror.listen();
  try {
    // The default of net.core.wmem_max, which bounds what a process may ask for, is 208 KiB.
    const most = Number(await run(['sysctl', '-n', 'net.core.wmem_max']));
    expect(await sendBufferOf(mirror.address.port)).toBe(2 * Math.min(256 * KiB, most));
  } finally {
    client?.destroy();
    await mirror.close();
  }
});
