import { createHash, randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Clock, systemClock } from '../../src/clock.ts';
import { createRegistryClient } from '../../src/registry/client.ts';
import { basicAuthorization } from '../../src/registry/credentials.ts';
import type { Credentials, RegistryClient } from '../../src/registry/types.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { type ReceivedRequest, startOrigin } from '../harness/origin-server.ts';
import { type RunningRegistry, startRegistry } from '../harness/registry.ts';
import { Scope } from '../harness/scope.ts';
import { type RunningTokenServer, startTokenServer } from '../harness/token-server.ts';

const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const blob = randomBytes(100_000);
const digestOf = (content: string | Buffer) => `sha256:${createHash('sha256').update(content).digest('hex')}`;
const manifest = JSON.stringify({
  schemaVersion: 2,
  mediaType: manifestType,
  config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digestOf(blob), size: blob.length },
  layers: [],
});
const anonymous: Credentials = { kind: 'anonymous' };
const alice: Credentials = { kind: 'basic', username: 'alice', password: 'pässword' };

function createClient(scope: Scope, clock: Clock = systemClock): RegistryClient {
  const client = createRegistryClient(
    { hosts: {}, connectTimeout: 5, transferTimeout: 15, parallels: 8, environment: {}, clock },
    createLogger({ name: 'test', level: 'silent' }),
  );
  scope.defer(() => client.close());
  return client;
}

/** Puts the manifest and its blob into an open registry's folder, where the others find it. */
async function push(registry: RunningRegistry, repository: string): Promise<void> {
  const started = await fetch(`${registry.url}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
  const upload = new URL(started.headers.get('location') ?? '', registry.url);
  upload.searchParams.set('digest', digestOf(blob));
  await fetch(upload, {
    method: 'PUT',
    body: new Uint8Array(blob),
    headers: { 'content-type': 'application/octet-stream' },
  });
  const url = `${registry.url}/v2/${repository}/manifests/v1`;
  const { status } = await fetch(url, { method: 'PUT', body: manifest, headers: { 'content-type': manifestType } });
  expect(status).toBe(201);
}

describe('real registries', () => {
  const scope = new Scope();
  let open: RunningRegistry;
  let basic: RunningRegistry;
  let bearer: RunningRegistry;
  let tokens: RunningTokenServer;
  let client: RegistryClient;

  beforeAll(async () => {
    open = await startRegistry();
    scope.defer(() => open.stop());
    await push(open, 'team/app');
    await push(open, 'public/app');
    basic = await startRegistry({ root: open.root, auth: { htpasswd: { alice: 'pässword' } } });
    scope.defer(() => basic.stop());
    tokens = await startTokenServer(scope, {
      users: {
        alice: { password: 'pässword', refreshToken: 'identity', rights: { '*': ['pull'] } },
        bob: { password: 'bob', rights: { 'public/app': ['pull'] } },
      },
      anonymous: { 'public/app': ['pull'] },
    });
    bearer = await startRegistry({ root: open.root, auth: tokens.auth });
    scope.defer(() => bearer.stop());
    client = createClient(scope);
  });
  afterAll(() => scope.close());

  /** Everything that a pull asks for. */
  async function pull(registry: RunningRegistry, repository: string, credentials: Credentials): Promise<void> {
    const from = { registry: registry.host, repository };
    const head = await client.headManifest(from, 'v1', { credentials });
    const digest = digestOf(manifest);
    expect(head).toEqual({ digest, mediaType: manifestType, size: manifest.length });
    const byTag = await client.getManifest(from, 'v1', { credentials });
    expect(byTag).toEqual({ digest, mediaType: manifestType, body: Buffer.from(manifest) });
    expect(await client.getManifest(from, digest, { credentials })).toEqual(byTag);
    expect(await client.headBlob(from, digestOf(blob), { credentials })).toEqual({ size: blob.length });
    const chunks: Buffer[] = [];
    const range = { start: 10, end: 90_000 };
    const onData = (chunk: Buffer) => void chunks.push(Buffer.from(chunk));
    await client.fetchBlob(from, digestOf(blob), { credentials, range, size: blob.length, onData });
    expect(Buffer.concat(chunks).equals(blob.subarray(10, 90_000))).toBe(true);
  }

  test('an open one gives everything to everyone', async () => {
    await pull(open, 'team/app', anonymous);
    await pull(open, 'team/app', alice);
  });

  test('one with htpasswd gives everything to the right name and password', async () => {
    await pull(basic, 'team/app', alice);
  });

  test.each<[string, Credentials, RegExp]>([
    ['nobody', anonymous, /asks for a name and a password; is an image pull secret missing/],
    [
      'a wrong password',
      { kind: 'basic', username: 'alice', password: 'hunter2' },
      /the registry refused the credentials/,
    ],
    ['an identity token', { kind: 'identity-token', token: 'hunter2' }, /name and a password only/],
    ['a registry token', { kind: 'registry-token', token: 'hunter2' }, /refused the token or header/],
    ['a foreign header', { kind: 'authorization', header: 'Basic aHVudGVyMg==' }, /refused the token or header/],
  ])('one with htpasswd gives nothing to %s', async (_, credentials, message) => {
    const pulled = client.getManifest({ registry: basic.host, repository: 'team/app' }, 'v1', { credentials });
    await expect(pulled).rejects.toMatchObject({
      kind: 'unauthorized',
      status: 401,
      message: expect.stringMatching(message),
    });
    await expect(pulled).rejects.not.toMatchObject({ message: expect.stringMatching(/hunter2|aHVudGVyMg/) });
  });

  test.each<[string, string, Credentials]>([
    ['a name and password', 'team/app', alice],
    ['an identity token', 'team/app', { kind: 'identity-token', token: 'identity' }],
    ['nothing, where that may pull', 'public/app', anonymous],
  ])(
    'one behind a token server is pulled from with %s, and one token serves the whole pull',
    async (_, repository, credentials) => {
      const before = tokens.requests.length;
      await pull(bearer, repository, credentials);
      const asked = tokens.requests.slice(before);
      expect(asked).toHaveLength(1);
      expect(asked[0]?.scopes).toEqual([`repository:${repository}:pull`]);
      await pull(bearer, repository, credentials);
      expect(tokens.requests).toHaveLength(before + 1);
    },
  );

  test('one behind a token server takes a token or header that came with the pull as it is', async () => {
    const url = `${tokens.realm}?service=test+registry&scope=repository:team/app:pull`;
    const response = await fetch(url, { headers: { authorization: basicAuthorization('alice', 'pässword') } });
    const { token } = (await response.json()) as { token: string };
    const before = tokens.requests.length;
    await pull(bearer, 'team/app', { kind: 'registry-token', token });
    await pull(bearer, 'team/app', { kind: 'authorization', header: `Bearer ${token}` });
    expect(tokens.requests).toHaveLength(before);
  });

  test.each<[string, Credentials, RegExp]>([
    ['a user without the right', { kind: 'basic', username: 'bob', password: 'bob' }, /no right to pull/],
    ['nobody', anonymous, /is an image pull secret missing/],
    ['a wrong password', { kind: 'basic', username: 'bob', password: 'hunter2' }, /token server refused/],
    ['a wrong identity token', { kind: 'identity-token', token: 'hunter2' }, /token server refused/],
  ])('one behind a token server gives nothing to %s', async (_, credentials, message) => {
    const pulled = client.getManifest({ registry: bearer.host, repository: 'team/app' }, 'v1', { credentials });
    await expect(pulled).rejects.toMatchObject({ kind: 'unauthorized', message: expect.stringMatching(message) });
    await expect(pulled).rejects.not.toMatchObject({ message: expect.stringMatching(/hunter2/) });
  });

  test("one user's token is not used for another", async () => {
    await pull(bearer, 'team/app', alice);
    const credentials: Credentials = { kind: 'basic', username: 'bob', password: 'bob' };
    const pulled = client.getManifest({ registry: bearer.host, repository: 'team/app' }, 'v1', { credentials });
    await expect(pulled).rejects.toMatchObject({ kind: 'unauthorized' });
  });

  test('concurrent first requests share one token request', async () => {
    const fresh = createClient(scope);
    const before = tokens.requests.length;
    const from = { registry: bearer.host, repository: 'team/app' };
    await Promise.all(Array.from({ length: 10 }, () => fresh.getManifest(from, 'v1', { credentials: alice })));
    expect(tokens.requests).toHaveLength(before + 1);
  });

  test('what is not there is not found, by tag, digest and repository', async () => {
    const absent = digestOf('absent');
    const from = { registry: open.host, repository: 'team/app' };
    for (const asked of [
      () => client.getManifest(from, 'v2', { credentials: anonymous }),
      () => client.headManifest(from, 'v2', { credentials: anonymous }),
      () => client.getManifest(from, absent, { credentials: anonymous }),
      () => client.headBlob(from, absent, { credentials: anonymous }),
      () => client.getManifest({ ...from, repository: 'no/such' }, 'v1', { credentials: anonymous }),
    ]) {
      await expect(asked()).rejects.toMatchObject({ kind: 'not-found', status: 404 });
    }
  });
});

describe('tokens', () => {
  let scope: Scope;
  beforeEach(() => {
    scope = new Scope();
  });
  afterEach(() => scope.close());

  function serveManifest(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': manifestType }).end(manifest);
  }

  /** A registry and its token server in one, which takes the tokens for which `accepts` says so. */
  function startTokenOrigin(answer: object, accepts: (token: string, count: number) => boolean) {
    let issued = 0;
    return startOrigin(scope, (request: ReceivedRequest, response) => {
      if (request.url.startsWith('/token')) {
        issued += 1;
        response.end(JSON.stringify({ token: `token-${issued}`, ...answer }));
        return;
      }
      const token = /^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1];
      if (token !== undefined && accepts(token, issued)) serveManifest(response);
      else response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${request.headers.host}/token"` }).end();
    });
  }
  const tokenRequests = ({ requests }: { requests: readonly ReceivedRequest[] }) =>
    requests.filter(({ url }) => url.startsWith('/token')).length;

  test('are fetched anew before they expire', async () => {
    let now = 0;
    const client = createClient(scope, { ...systemClock, now: () => now });
    const origin = await startTokenOrigin({ expires_in: 100 }, () => true);
    const pull = () => client.getManifest({ registry: origin.host, repository: 'a/b' }, 'v1', { credentials: alice });
    await pull();
    now = 89_000;
    await pull();
    expect(tokenRequests(origin)).toBe(1);
    now = 90_000;
    await pull();
    expect(tokenRequests(origin)).toBe(2);
  });

  test('last a minute when the server does not say how long', async () => {
    let now = 0;
    const client = createClient(scope, { ...systemClock, now: () => now });
    const origin = await startTokenOrigin({}, () => true);
    const pull = () => client.getManifest({ registry: origin.host, repository: 'a/b' }, 'v1', { credentials: alice });
    await pull();
    now = 49_000;
    await pull();
    expect(tokenRequests(origin)).toBe(1);
    now = 60_000;
    await pull();
    expect(tokenRequests(origin)).toBe(2);
  });

  test('that were revoked early are replaced once', async () => {
    const client = createClient(scope);
    let valid = 'token-1';
    const origin = await startTokenOrigin({ expires_in: 1000 }, (token) => token === valid);
    const pull = () => client.getManifest({ registry: origin.host, repository: 'a/b' }, 'v1', { credentials: alice });
    await pull();
    valid = 'token-2';
    await Promise.all([pull(), pull(), pull()]);
    expect(tokenRequests(origin)).toBe(2);
    valid = 'none';
    await expect(pull()).rejects.toMatchObject({ kind: 'unauthorized' });
    expect(tokenRequests(origin)).toBe(3);
  });

  test.each([
    ['HTML', '<html>hunter2'],
    ['no token', '{"hunter2":1}'],
    ['a token that no header can carry', '{"token":"a\\r\\nhunter2: b"}'],
    ['more than a quarter MiB', JSON.stringify({ token: 'hunter2'.repeat(100_000) })],
  ])('that are %s are refused without being quoted', async (_, body) => {
    const client = createClient(scope);
    const origin = await startOrigin(scope, ({ url, headers }, response) => {
      if (url.startsWith('/token')) response.end(body);
      else response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${headers.host}/token"` }).end();
    });
    const pulled = client.getManifest({ registry: origin.host, repository: 'a/b' }, 'v1', { credentials: alice });
    await expect(pulled).rejects.toMatchObject({ kind: 'invalid' });
    await expect(pulled).rejects.not.toMatchObject({ message: expect.stringMatching(/hunter2/) });
  });

  test('are asked for again when their server is busy', async () => {
    const client = createClient(scope);
    let busy = true;
    const origin = await startOrigin(scope, ({ url, headers }, response) => {
      if (url.startsWith('/token')) {
        if (busy) response.writeHead(503).end();
        else response.end('{"token":"t"}');
        busy = false;
      } else if (headers.authorization === 'Bearer t') serveManifest(response);
      else response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${headers.host}/token"` }).end();
    });
    await client.getManifest({ registry: origin.host, repository: 'a/b' }, 'v1', { credentials: alice });
    expect(tokenRequests(origin)).toBe(2);
  });

  test('go to nobody but the registry: not to the store that it redirects to', async () => {
    const client = createClient(scope);
    const store = await startOrigin(scope, (_, response) => serveManifest(response));
    const origin = await startOrigin(scope, ({ url, headers }, response) => {
      if (url.startsWith('/token')) response.end('{"token":"t"}');
      else if (headers.authorization === undefined) {
        response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${headers.host}/token"` }).end();
      } else response.writeHead(307, { location: `${store.url}/object?signature=hunter2` }).end();
    });
    const from = { registry: origin.host, repository: 'a/b' };
    await client.getManifest(from, 'v1', { credentials: alice });
    await client.getManifest(from, 'v1', { credentials: { kind: 'authorization', header: 'Bearer forwarded' } });
    expect(store.requests).toHaveLength(2);
    for (const { headers } of store.requests) expect(headers).not.toHaveProperty('authorization');
  });

  test('and passwords are not given to a store that asks for them, nor does a failure quote its signed URL', async () => {
    const client = createClient(scope);
    const store = await startOrigin(scope, (_, response) => {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="give me"' }).end();
    });
    const origin = await startOrigin(scope, (_, response) => {
      response.writeHead(307, { location: `${store.url}/object?signature=hunter2` }).end();
    });
    const pulled = client.getManifest({ registry: origin.host, repository: 'a/b' }, 'v1', { credentials: alice });
    await expect(pulled).rejects.toMatchObject({ kind: 'unauthorized', message: `GET ${store.url}/object: 401` });
    expect(store.requests).toHaveLength(1);
  });
});
