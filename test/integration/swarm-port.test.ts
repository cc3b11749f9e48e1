import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect, createServer, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createDirectoryServer } from '../../src/swarm/directory-service/server.ts';
import type { Member } from '../../src/swarm/membership/types.ts';
import type { Hello } from '../../src/swarm/messages.ts';
import { createSwarmPort } from '../../src/swarm/port/port.ts';
import { createProbe } from '../../src/swarm/port/probe.ts';
import type { SwarmPort, SwarmPortOptions } from '../../src/swarm/port/types.ts';
import type { PeerCertificates } from '../../src/swarm/tls/certificates.ts';
import type { TransferSecurity } from '../../src/swarm/transfer/listen-address.ts';
import { createPieceServer, type PieceServer, type PieceServerOptions } from '../../src/swarm/transfer/server.ts';
import { RawAttendance } from '../harness/attendance.ts';
import { DirectoryNodes } from '../harness/directory-nodes.ts';
import { run } from '../harness/process.ts';
import { exchange, requestText } from '../harness/raw-http.ts';
import { Scope } from '../harness/scope.ts';
import { SwarmAuthority } from '../harness/swarm-certificates.ts';
import { temporaryFolder } from '../harness/temp.ts';
import { waitFor } from '../harness/wait.ts';
import { openWire } from '../harness/wire.ts';
import { createClient, digest, HeldPieces, log } from './swarm-transfer-peers.ts';

const held = new HeldPieces([200_000]);
const { bytes, crc32c } = held.at(0);
const pieceRequest = requestText(`/v1/blobs/${digest}/pieces/0`);
const loopback: TransferSecurity = { kind: 'loopback' };

let scope: Scope;
beforeEach(() => {
  scope = new Scope();
});
afterEach(() => scope.close());

interface Opened {
  readonly port: SwarmPort;
  readonly pieces: PieceServer;
  readonly address: string;
}

/** A port as an agent has it. */
async function open(
  security: TransferSecurity,
  options: Partial<SwarmPortOptions> & Partial<PieceServerOptions> = {},
): Promise<Opened> {
  // The shard's own membership is of no interest here.
  const [node] = await new DirectoryNodes(scope).start(['shard'], { links: false });
  const pieces = createPieceServer({ provider: held, log, transferTimeout: 15, ...options });
  const directory = createDirectoryServer({ ...(node && { host: node.host }), self: 'node-a', logger: log });
  const port = createSwarmPort({ security, port: 0, host: '127.0.0.1', pieces, directory, log, ...options });
  await port.listen();
  scope.defer(async () => {
    directory.close();
    await port.close();
    await pieces.close();
  });
  return { port, pieces, address: `127.0.0.1:${port.address.port}` };
}

function attend(address: string, certificates?: PeerCertificates): RawAttendance {
  const hello: Hello = { id: 'node-b', address: '10.0.0.2:1', zone: '', role: 'agent', slots: 1, leases: 0, pace: 0 };
  return new RawAttendance(scope, address, certificates && { certificates }).read().say(hello);
}

async function fetchPiece(address: string, certificates?: PeerCertificates): Promise<void> {
  const destination = Buffer.alloc(bytes.length);
  const client = createClient(scope, certificates && { certificates });
  await client.fetch({ peer: { id: 'node-a', address }, key: { digest, index: 0 }, crc32c, destination });
  expect(destination.equals(bytes)).toBe(true);
}

describe('one port serves pieces and the directory', () => {
  test('in plain text, told by the first bytes', async () => {
    const { address, port, pieces } = await open(loopback);
    await Promise.all([fetchPiece(address), attend(address).opened]);
    expect(port.connections).toBe(2);
    expect(pieces.stat().connections).toBe(1);
  });

  test('over one mutual handshake, told by ALPN', async () => {
    const authority = await SwarmAuthority.create(scope);
    const [own, other] = await Promise.all([authority.issue('node-a'), authority.issue('node-b')]);
    const { address, pieces } = await open({ kind: 'tls', certificates: own });
    await Promise.all([fetchPiece(address, other), attend(address, other).opened]);
    expect(pieces.stat().connections).toBe(1);
  });

  test('whose pieces curl gets, though it would speak HTTP/2 as well', async () => {
    const authority = await SwarmAuthority.create(scope);
    const { address } = await open({ kind: 'tls', certificates: await authority.issue('node-a') });
    const files = await authority.issueFiles('node-b');
    const output = `${await temporaryFolder(scope, 'curl')}/piece`;
    const options = ['--cacert', files.ca, '--cert', files.certificate, '--key', files.key, '--output', output];
    const url = `https://${address}/v1/blobs/${digest}/pieces/0`;
    const stdout = await run(['curl', '--silent', '--write-out', '%{http_version} %{size_download}', ...options, url]);
    expect(stdout).toBe(`1.1 ${bytes.length}`);
  });

  test('however slowly a request arrives', async () => {
    const { port } = await open(loopback);
    const socket = connect(port.address.port, '127.0.0.1');
    scope.defer(() => socket.destroy());
    socket.setNoDelay(true);
    for (const character of pieceRequest) {
      socket.write(character);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString('latin1')).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  });

  test('also when HTTP/2 arrives byte by byte', async () => {
    const { address, port } = await open(loopback);
    const session = connectHttp2(`http://${address}`, {
      createConnection: () => trickling(connect(port.address.port, '127.0.0.1')),
    });
    scope.defer(() => session.destroy());
    await once(session, 'remoteSettings');
  });
});

/** Sends what is written to it in single bytes for the first 100 of them. */
function trickling(socket: Socket): Socket {
  const write = socket.write.bind(socket);
  socket.setNoDelay(true);
  socket.write = (chunk: Uint8Array | string) => {
    for (const byte of Buffer.from(chunk)) write(Buffer.from([byte]));
    return true;
  };
  return socket;
}

describe('the port ends a connection', () => {
  test.each([
    ['without a word', ''],
    ['after a part of what HTTP/2 begins with', 'PRI'],
  ])('that stays %s', async (_what, start) => {
    const { port } = await open(loopback, { handshakeTimeoutMs: 100 });
    const socket = connect(port.address.port, '127.0.0.1');
    socket.write(start);
    await once(socket, 'close');
    await waitFor(() => port.connections === 0, { what: 'the end of the connection' });
  });

  test('whose TLS handshake does not come to an end', async () => {
    const authority = await SwarmAuthority.create(scope);
    const security = { kind: 'tls', certificates: await authority.issue('node-a') } as const;
    const { port } = await open(security, { handshakeTimeoutMs: 100 });
    const socket = connect(port.address.port, '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'close');
    await waitFor(() => port.connections === 0, { what: 'the end of the connection' });
  });

  test('that speaks neither protocol', async () => {
    const { port, pieces } = await open(loopback);
    const socket = connect(port.address.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('\x16\x03\x01 hello\r\n\r\n');
    await once(socket, 'close');
    expect(pieces.stat().served).toBe(0);
  });

  test('for pieces where there are none', async () => {
    const [node] = await new DirectoryNodes(scope).start(['shard'], { role: 'scheduler' });
    const socket = connect(Number(node?.address.split(':')[1]), '127.0.0.1');
    socket.write(pieceRequest);
    await once(socket, 'close');
    await attend(node?.address ?? '').opened;
  });

  test('beyond those that one address may have, of either kind', async () => {
    const { port, address } = await open(loopback, { connectionsPerAddress: 2 });
    const first = attend(address);
    await first.opened;
    await fetchPiece(address);
    expect(port.connections).toBe(2);
    expect(await attend(address).ended).toBeUndefined();
    first.session.destroy();
    await waitFor(() => port.connections === 1, { what: 'the end of one' });
    expect((await exchange(port.address.port, pieceRequest)).status).toBe(200);
  });

  test('when it closes, whatever is under way', async () => {
    const { port, address } = await open(loopback);
    const stream = attend(address);
    await stream.opened;
    await port.close();
    await waitFor(() => port.connections === 0, { what: 'the end of the connection' });
    await expect(fetchPiece(address)).rejects.toMatchObject({ kind: 'unreachable' });
  });
});

describe('the port with certificates', () => {
  test('takes no part in a protocol that it does not know', async () => {
    const authority = await SwarmAuthority.create(scope);
    const [own, other] = await Promise.all([authority.issue('node-a'), authority.issue('node-b')]);
    const { port } = await open({ kind: 'tls', certificates: own });
    const socket = connectTls({
      host: '127.0.0.1',
      port: port.address.port,
      secureContext: other.clientContext,
      ALPNProtocols: ['spdy/3'],
      checkServerIdentity: () => undefined,
    });
    const [error] = (await once(socket, 'error')) as [Error];
    expect(error.message).toMatch(/alert/);
  });
});

describe('a probe', () => {
  const signal = (): AbortSignal => AbortSignal.timeout(10_000);
  const member = (address: string, id = 'node-a'): Member => ({ id, address, zone: '', role: 'agent' });

  test('passes where the port answers, and leaves nothing behind', async () => {
    const { address, port } = await open(loopback);
    await createProbe(loopback)(member(address), signal());
    await waitFor(() => port.connections === 0, { what: 'the end of the connection' });
  });

  test('fails where nobody listens', async () => {
    const { address, port } = await open(loopback);
    await port.close();
    await expect(createProbe(loopback)(member(address), signal())).rejects.toThrow(/ECONNREFUSED/);
  });

  test('fails where connections are accepted by nobody who speaks', async () => {
    const { address } = await open(loopback);
    const wire = await openWire(scope, address);
    wire.freeze();
    const probe = createProbe(loopback)(member(wire.address), AbortSignal.timeout(200));
    await expect(probe).rejects.toMatchObject({ name: 'TimeoutError' });
    wire.thaw();
    await waitFor(() => wire.connections === 0, { what: 'the end of the connection' });
    await createProbe(loopback)(member(wire.address), signal());
  });

  test('fails where something else listens', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.end('220 mail.example ESMTP\r\n');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    scope.defer(() => server.close());
    const { port } = server.address() as { port: number };
    await expect(createProbe(loopback)(member(`127.0.0.1:${port}`), signal())).rejects.toThrow();
  });

  test('fails for what is no address', async () => {
    await expect(createProbe(loopback)(member('nowhere'), signal())).rejects.toThrow(/'nowhere' is not host:port/);
  });

  test('passes with certificates, but not for who is another', async () => {
    const authority = await SwarmAuthority.create(scope);
    const [own, other] = await Promise.all([authority.issue('node-a', ['10.0.0.1']), authority.issue('node-b')]);
    const { address } = await open({ kind: 'tls', certificates: own });
    const probe = createProbe({ kind: 'tls', certificates: other });
    await probe(member(address), signal());
    await expect(probe(member(address, 'node-c'), signal())).rejects.toThrow(
      'its certificate names node-a, 10.0.0.1, not node-c or 127.0.0.1',
    );
  });
});
