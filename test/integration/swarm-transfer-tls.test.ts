import { once } from 'node:events';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import path from 'node:path';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Peer } from '../../src/swarm/messages.ts';
import { initAuthority, issueCertificate } from '../../src/swarm/tls/authority.ts';
import {
  type CertificateFiles,
  type LoadOptions,
  loadCertificates,
  type PeerCertificates,
} from '../../src/swarm/tls/certificates.ts';
import type { PiecePort } from '../harness/piece-port.ts';
import { requestText } from '../harness/raw-http.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';
import { createClient, digest, HeldPieces, log, startServer } from './swarm-transfer-peers.ts';

let scope: Scope;
let authority: string;
beforeEach(async () => {
  scope = new Scope();
  authority = await newAuthority();
});
afterEach(() => scope.close());

const day = 24 * 3600 * 1000;

async function newAuthority(): Promise<string> {
  const directory = await temporaryFolder(scope, 'authority');
  await initAuthority({ directory });
  return directory;
}

interface NodeOptions {
  readonly authority?: string;
  readonly addresses?: readonly string[];
  /** When it was issued; it lasts a day. */
  readonly issued?: Date;
}

async function issue(name: string, options: NodeOptions = {}): Promise<CertificateFiles> {
  const directory = options.authority ?? authority;
  const output = await temporaryFolder(scope, name);
  const { issued: now = new Date(), addresses = ['127.0.0.1'] } = options;
  const files = await issueCertificate({ directory, output, name, addresses, days: 1, now });
  return { ca: path.join(directory, 'ca.crt'), certificate: files.certificate, key: files.key };
}

async function load(files: CertificateFiles, options: Partial<LoadOptions> = {}): Promise<PeerCertificates> {
  const certificates = await loadCertificates({ files, log, ...options });
  scope.defer(() => certificates.close());
  return certificates;
}

const held = new HeldPieces([200_000]);
const { bytes, crc32c } = held.at(0);

async function startTlsServer(certificates: PeerCertificates): Promise<{ server: PiecePort; peer: Peer }> {
  const { server, peer } = await startServer(scope, held, { security: { kind: 'tls', certificates } });
  return { server, peer: { ...peer, id: 'node-a' } };
}

async function fetchOver(certificates: PeerCertificates | undefined, peer: Peer): Promise<Buffer> {
  const client = createClient(scope, certificates === undefined ? {} : { certificates });
  const destination = Buffer.alloc(bytes.length);
  await client.fetch({ peer, key: { digest, index: 0 }, crc32c, destination });
  return destination;
}

/** What a stranger gets who sends a request over TLS with these options, whatever the server makes of it. */
async function received(port: number, options: ConnectionOptions): Promise<Buffer> {
  const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
  const chunks: Buffer[] = [];
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('secureConnect', () => socket.write(requestText(`/v1/blobs/${digest}/pieces/0`)));
  await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(chunks);
}

describe('with certificates of one authority', () => {
  test('pieces move over TLS 1.3, and connections are kept', async () => {
    const { server, peer } = await startTlsServer(await load(await issue('node-a')));
    const client = createClient(scope, { certificates: await load(await issue('node-b')) });
    for (let count = 0; count < 5; count += 1) {
      const destination = Buffer.alloc(bytes.length);
      await client.fetch({ peer, key: { digest, index: 0 }, crc32c, destination });
      expect(destination.equals(bytes)).toBe(true);
    }
    expect(server.stat().connections).toBe(1);
  });

  test('each connection proves its right anew: sessions are not resumed', async () => {
    const certificates = await load(await issue('node-a'));
    const { server } = await startTlsServer(certificates);
    const { ca, certificate: cert, key } = certificates.pem;
    const handshake = async (session?: Buffer): Promise<{ session: Buffer | undefined; reused: boolean }> => {
      const options = { host: '127.0.0.1', port: server.address.port, ca, cert, key, ...(session ? { session } : {}) };
      const socket = connectTls(options);
      let issued: Buffer | undefined;
      socket.on('session', (data) => {
        issued = data;
      });
      // Tickets come with the first bytes of an answer at the latest.
      socket.once('secureConnect', () => socket.write(requestText(`/v1/blobs/${digest}/pieces/7`)));
      await once(socket, 'data');
      const reused = socket.isSessionReused();
      socket.destroy();
      return { session: issued, reused };
    };
    const { session } = await handshake();
    expect((await handshake(session)).reused).toBe(false);
  });

  test('a peer is known by its name as well as by its address', async () => {
    const { peer } = await startTlsServer(await load(await issue('node-a', { addresses: [] })));
    expect((await fetchOver(await load(await issue('node-b')), peer)).equals(bytes)).toBe(true);
    const { peer: second } = await startTlsServer(await load(await issue('another')));
    expect((await fetchOver(await load(await issue('node-b')), second)).equals(bytes)).toBe(true);
  });

  test('a node that poses as another is refused', async () => {
    const { peer } = await startTlsServer(await load(await issue('node-x', { addresses: ['10.9.9.9'] })));
    const refused = fetchOver(await load(await issue('node-b')), peer);
    await expect(refused).rejects.toMatchObject({
      kind: 'unreachable',
      message: expect.stringContaining('its certificate names node-x, 10.9.9.9, not node-a or 127.0.0.1'),
    });
  });
});

describe('the piece server with certificates gives nothing to', () => {
  test('who has none', async () => {
    const { server } = await startTlsServer(await load(await issue('node-a')));
    expect(await received(server.address.port, {})).toHaveLength(0);
    expect(server.stat().served).toBe(0);
  });

  test('who has one of another authority', async () => {
    const { server, peer } = await startTlsServer(await load(await issue('node-a')));
    const stranger = await load(await issue('node-b', { authority: await newAuthority() }));
    const { certificate: cert, key } = stranger.pem;
    expect(await received(server.address.port, { cert, key })).toHaveLength(0);
    await expect(fetchOver(stranger, peer)).rejects.toMatchObject({ kind: 'unreachable' });
    expect(server.stat().served).toBe(0);
  });

  test('who has one that is no longer valid', async () => {
    const { server } = await startTlsServer(await load(await issue('node-a')));
    const expired = await issue('node-b', { issued: new Date(Date.now() - 2 * day) });
    const [cert, key] = await Promise.all([readFile(expired.certificate), readFile(expired.key)]);
    expect(await received(server.address.port, { cert, key })).toHaveLength(0);
    expect(server.stat().served).toBe(0);
  });

  test('who offers TLS 1.2', async () => {
    const certificates = await load(await issue('node-a'));
    const { server } = await startTlsServer(certificates);
    const { certificate: cert, key } = certificates.pem;
    expect(await received(server.address.port, { cert, key, maxVersion: 'TLSv1.2' })).toHaveLength(0);
  });

  test('who speaks without TLS', async () => {
    const { server, peer } = await startTlsServer(await load(await issue('node-a')));
    await expect(fetchOver(undefined, peer)).rejects.toMatchObject({ kind: 'unreachable' });
    expect(server.stat().served).toBe(0);
  });
});

describe('the client with certificates takes nothing from', () => {
  test('a peer of another authority', async () => {
    const foreign = await newAuthority();
    const { peer } = await startTlsServer(await load(await issue('node-a', { authority: foreign })));
    await expect(fetchOver(await load(await issue('node-b')), peer)).rejects.toMatchObject({ kind: 'unreachable' });
  });

  test('a peer without TLS', async () => {
    const { peer } = await startServer(scope, held);
    await expect(fetchOver(await load(await issue('node-b')), peer)).rejects.toMatchObject({ kind: 'unreachable' });
  });

  test('a peer whose handshake does not end within connectTimeout', async () => {
    const sockets: Socket[] = [];
    const mute = createServer((socket) => sockets.push(socket));
    mute.listen(0, '127.0.0.1');
    await once(mute, 'listening');
    scope.defer(() => {
      for (const socket of sockets) socket.destroy();
      mute.close();
    });
    const { port } = mute.address() as { port: number };
    const client = createClient(scope, { certificates: await load(await issue('node-b')), connectTimeout: 0.2 });
    const peer = { id: 'mute', address: `127.0.0.1:${port}` };
    const fetch = client.fetch({ peer, key: { digest, index: 0 }, crc32c, destination: Buffer.alloc(bytes.length) });
    await expect(fetch).rejects.toMatchObject({
      kind: 'unreachable',
      message: expect.stringContaining('within 0.2 s'),
    });
  });
});

describe('certificates that change', () => {
  async function replace(files: CertificateFiles, by: CertificateFiles): Promise<void> {
    for (const name of ['ca', 'certificate', 'key'] as const) await copyFile(by[name], files[name]);
  }

  /** Files of the node's own, so that the authority's stay as they are. */
  async function ownFiles(name: string, options: NodeOptions = {}): Promise<CertificateFiles> {
    const issued = await issue(name, options);
    const files = { ...issued, ca: path.join(path.dirname(issued.certificate), 'ca.crt') };
    await copyFile(issued.ca, files.ca);
    return files;
  }

  test('are used for new connections; those that stand go on', async () => {
    const [serverFiles, clientFiles] = await Promise.all([ownFiles('node-a'), ownFiles('node-b')]);
    const [serverSide, clientSide] = await Promise.all([load(serverFiles), load(clientFiles)]);
    const { server, peer } = await startTlsServer(serverSide);
    const client = createClient(scope, { certificates: clientSide });
    const fetch = (by: typeof client) =>
      by.fetch({ peer, key: { digest, index: 0 }, crc32c, destination: Buffer.alloc(bytes.length) });
    await fetch(client);

    // Another authority: whoever is still on the old one is a stranger from now on.
    const next = await newAuthority();
    await replace(serverFiles, await issue('node-a', { authority: next }));
    await serverSide.reload();
    await fetch(client);
    expect(server.stat().connections).toBe(1);
    await expect(fetch(createClient(scope, { certificates: clientSide }))).rejects.toMatchObject({
      kind: 'unreachable',
    });

    await replace(clientFiles, await issue('node-b', { authority: next }));
    await clientSide.reload();
    await fetch(createClient(scope, { certificates: clientSide }));
  });

  test('are noticed without anybody saying so', async () => {
    const files = await ownFiles('node-a');
    const certificates = await load(files, { interval: 0.05 });
    const changed = new Promise<void>((resolve) => certificates.onChange(resolve));
    const by = await issue('node-a', { authority: await newAuthority() });
    await replace(files, by);
    await changed;
    expect(certificates.pem.certificate.equals((await load(by)).pem.certificate)).toBe(true);
  });

  test('are not used while they do not fit together', async () => {
    const files = await ownFiles('node-a');
    const certificates = await load(files);
    const before = certificates.pem;
    const other = await issue('node-a');
    await copyFile(other.key, files.key);
    await expect(certificates.reload()).rejects.toThrow(`${files.key}: not the key of ${files.certificate}`);
    expect(certificates.pem).toBe(before);
    await copyFile(other.certificate, files.certificate);
    await certificates.reload();
    expect(certificates.pem.key.equals(before.key)).toBe(false);
  });

  test('tell when they end', async () => {
    const certificates = await load(await issue('node-a'));
    expect(Math.abs(certificates.notAfter.getTime() - Date.now() - day)).toBeLessThan(60_000);
  });
});

describe('certificates that cannot be used are refused by name:', () => {
  test('a certificate of another authority', async () => {
    const files = await issue('node-a');
    const foreign = { ...files, ca: path.join(await newAuthority(), 'ca.crt') };
    await expect(load(foreign)).rejects.toThrow(`${files.certificate}: not issued by an authority in ${foreign.ca}`);
  });

  test('an expired certificate', async () => {
    const files = await issue('node-a', { issued: new Date(Date.now() - 2 * day) });
    await expect(load(files)).rejects.toThrow(
      /node-a\.crt: valid from .* not now\. `shoal certs issue` makes a new one/,
    );
  });

  test('a key of another certificate', async () => {
    const files = await issue('node-a');
    const { key } = await issue('node-b');
    await expect(load({ ...files, key })).rejects.toThrow(`${key}: not the key of ${files.certificate}`);
  });

  test.each(['ca', 'certificate', 'key'] as const)('a %s that is no PEM, or not there', async (which) => {
    const files = await issue('node-a');
    const wrong = path.join(await temporaryFolder(scope, 'wrong'), 'file');
    await expect(load({ ...files, [which]: wrong })).rejects.toThrow(wrong);
    await writeFile(wrong, 'hello');
    await expect(load({ ...files, [which]: wrong })).rejects.toThrow(wrong.replace('file', ''));
  });

  test('not a bundle of several authorities: one may replace another', async () => {
    const files = await issue('node-a');
    const ca = path.join(await temporaryFolder(scope, 'bundle'), 'ca.crt');
    const second = path.join(await newAuthority(), 'ca.crt');
    await writeFile(ca, Buffer.concat([await readFile(second), await readFile(files.ca)]));
    const { peer } = await startTlsServer(await load({ ...files, ca }));
    const mine = await issue('node-b');
    expect((await fetchOver(await load({ ...mine, ca }), peer)).equals(bytes)).toBe(true);
  });
});
