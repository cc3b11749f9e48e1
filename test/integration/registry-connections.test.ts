import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRegistryClient, type RegistryClientOptions } from '../../src/registry/client.ts';
import type { Credentials, RegistryClient } from '../../src/registry/types.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { type CertificateAuthority, createAuthority } from '../harness/certificates.ts';
import { startOrigin } from '../harness/origin-server.ts';
import { type RunningRegistry, startRegistry } from '../harness/registry.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

const credentials: Credentials = { kind: 'anonymous' };
const scope = new Scope();
let authority: CertificateAuthority;
let registry: RunningRegistry;

beforeAll(async () => {
  authority = await createAuthority(scope);
  registry = await startRegistry({
    tls: await authority.issue('registry', ['DNS:registry.example.com', 'IP:127.0.0.1']),
  });
  scope.defer(() => registry.stop());
});
afterAll(() => scope.close());

function createClient(options: Partial<RegistryClientOptions>): RegistryClient {
  const client = createRegistryClient(
    { hosts: {}, connectTimeout: 5, transferTimeout: 15, parallels: 8, environment: {}, ...options },
    createLogger({ name: 'test', level: 'silent' }),
  );
  scope.defer(() => client.close());
  return client;
}

/** Asks for what is not there: a 404 of the registry's own shows that the connection is trusted. */
const ask = (client: RegistryClient, host: string) =>
  client.getManifest({ registry: host, repository: 'a/b' }, 'v1', { credentials });

describe('TLS', () => {
  test('trusts a registry whose CA is configured', async () => {
    const hosts = { [registry.host]: { plainHttp: false, caFile: authority.certificateFile } };
    await expect(ask(createClient({ hosts }), registry.host)).rejects.toMatchObject({ kind: 'not-found', status: 404 });
  });

  test('does not trust it without, and says what to do', async () => {
    const client = createClient({ hosts: { [registry.host]: { plainHttp: false } } });
    await expect(ask(client, registry.host)).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringMatching(/registries\.hosts\.<host>\.caFile/),
    });
  });

  test('does not trust a certificate for another host', async () => {
    const other = await startRegistry({ tls: await authority.issue('other', ['DNS:other.example.com']) });
    scope.defer(() => other.stop());
    const hosts = { [other.host]: { plainHttp: false, caFile: authority.certificateFile } };
    await expect(ask(createClient({ hosts }), other.host)).rejects.toMatchObject({ kind: 'unavailable' });
  });

  test('to a registry that speaks http says so', async () => {
    const plain = await startRegistry();
    scope.defer(() => plain.stop());
    const client = createClient({ hosts: { [plain.host]: { plainHttp: false } } });
    await expect(ask(client, plain.host)).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringMatching(/plainHttp: true/),
    });
    await expect(ask(createClient({}), plain.host)).rejects.toMatchObject({ kind: 'not-found' });
  });

  test('with an unusable CA file stops the start', async () => {
    const folder = await temporaryFolder(scope, 'ca');
    const empty = path.join(folder, 'empty.pem');
    await writeFile(empty, 'nothing');
    for (const [caFile, cause] of [
      [path.join(folder, 'absent.pem'), /absent\.pem can't be used: ENOENT/],
      [empty, /empty\.pem can't be used: it holds no PEM certificate/],
    ] as const) {
      expect(() => createClient({ hosts: { 'r.example.com': { caFile } } })).toThrow(cause);
    }
  });
});

test('a registry that nobody serves is unavailable', async () => {
  const server = net.createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  await expect(ask(createClient({}), `127.0.0.1:${port}`)).rejects.toMatchObject({
    kind: 'unavailable',
    message: expect.stringMatching(/ECONNREFUSED/),
  });
});

test('a closed client ends its transfers and takes no new ones', async () => {
  const arrived = Promise.withResolvers<void>();
  const origin = await startOrigin(scope, () => arrived.resolve());
  const client = createClient({});
  const asked = ask(client, origin.host);
  const refused = expect(asked).rejects.toMatchObject({ kind: 'unavailable' });
  await arrived.promise;
  await client.close();
  await refused;
  await expect(ask(client, origin.host)).rejects.toMatchObject({ kind: 'unavailable' });
});

describe('a proxy', () => {
  /** A proxy for CONNECT and for plain requests; `seen` has the targets and the proxy credentials. */
  async function startProxy() {
    const seen: { target: string; authorization: string | undefined }[] = [];
    const server = createServer((request, response) => {
      seen.push({ target: request.url ?? '', authorization: request.headers['proxy-authorization'] });
      response.writeHead(200, { 'content-type': 'text/plain' }).end('through the proxy');
    });
    server.on('connect', (request, socket) => {
      seen.push({ target: request.url ?? '', authorization: request.headers['proxy-authorization'] });
      if (request.url === 'refused.example.com:443') {
        socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
        return;
      }
      // Whatever the name, it is the registry: the client must not have asked the DNS.
      const upstream = net.connect(Number(registry.host.split(':')[1]), '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        upstream.pipe(socket).pipe(upstream);
      });
      upstream.on('error', () => socket.destroy());
      socket.on('error', () => upstream.destroy());
      scope.defer(() => upstream.destroy());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    scope.defer(() => {
      server.close();
      server.closeAllConnections();
    });
    const { port } = server.address() as AddressInfo;
    return { url: `http://user:pass@127.0.0.1:${port}`, seen };
  }
  const authorization = `Basic ${Buffer.from('user:pass').toString('base64')}`;

  test('tunnels https to the registry, whose name it resolves and whose certificate is checked all the same', async () => {
    const proxy = await startProxy();
    const trust = { caFile: authority.certificateFile };
    const client = createClient({
      environment: { HTTPS_PROXY: proxy.url },
      hosts: { 'registry.example.com': trust, 'other.example.com': trust },
    });
    await expect(ask(client, 'registry.example.com')).rejects.toMatchObject({ kind: 'not-found', status: 404 });
    await expect(ask(client, 'other.example.com')).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringMatching(/altnames/),
    });
    expect(proxy.seen).toEqual([
      { target: 'registry.example.com:443', authorization },
      { target: 'other.example.com:443', authorization },
    ]);
  });

  test('gets plain requests whole', async () => {
    const proxy = await startProxy();
    const environment = { HTTP_PROXY: proxy.url };
    const client = createClient({ environment, hosts: { 'r.example.com': { plainHttp: true } } });
    const got = await ask(client, 'r.example.com');
    expect(got.body.toString()).toBe('through the proxy');
    expect(proxy.seen).toEqual([{ target: 'http://r.example.com/v2/a/b/manifests/v1', authorization }]);
  });

  test('that refuses makes the registry unavailable at once, and its password is not in the message', async () => {
    const proxy = await startProxy();
    const client = createClient({ environment: { HTTPS_PROXY: proxy.url } });
    const asked = ask(client, 'refused.example.com');
    await expect(asked).rejects.toMatchObject({ kind: 'unavailable', message: expect.stringMatching(/403/) });
    await expect(asked).rejects.not.toMatchObject({ message: expect.stringMatching(/pass/) });
    expect(proxy.seen).toHaveLength(1);
  });

  test('is never asked for a registry on loopback', async () => {
    const proxy = await startProxy();
    const origin = await startOrigin(scope, (_, response) => response.writeHead(404).end());
    const client = createClient({ environment: { HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url } });
    await expect(ask(client, origin.host)).rejects.toMatchObject({ kind: 'not-found' });
    expect(proxy.seen).toHaveLength(0);
  });
});
