import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createRegistryClient } from '../../src/registry/client.ts';
import type { Credentials, RegistryClient } from '../../src/registry/types.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { startOrigin } from '../harness/origin-server.ts';
import { Scope } from '../harness/scope.ts';

const credentials: Credentials = { kind: 'anonymous' };
const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const digestOf = (content: string | Buffer) => `sha256:${createHash('sha256').update(content).digest('hex')}`;
const manifest = Buffer.from('{"layers": [],\n "config":{}}\n');
const digest = digestOf(manifest);

let scope: Scope;
let client: RegistryClient;
beforeEach(() => {
  scope = new Scope();
  client = createRegistryClient(
    { hosts: {}, connectTimeout: 5, transferTimeout: 15, parallels: 8, environment: {} },
    createLogger({ name: 'test', level: 'silent' }),
  );
  scope.defer(() => client.close());
});
afterEach(() => scope.close());

async function startManifestOrigin(answer: (response: ServerResponse, method: string) => void) {
  const origin = await startOrigin(scope, ({ method }, response) => answer(response, method));
  return { ...origin, repository: { registry: origin.host, repository: 'a/b' } };
}

describe('a manifest', () => {
  test('comes as the registry sent it, to the byte and with its own Content-Type', async () => {
    const { repository, requests } = await startManifestOrigin((response) => {
      response.writeHead(200, { 'content-type': `${manifestType}; charset=utf-8` }).end(manifest);
    });
    const mediaType = `${manifestType}; charset=utf-8`;
    await expect(client.getManifest(repository, 'v1', { credentials })).resolves.toEqual({
      digest,
      mediaType,
      body: manifest,
    });
    await expect(client.getManifest(repository, digest, { credentials })).resolves.toMatchObject({ digest });
    expect(requests.map(({ url }) => url)).toEqual(['/v2/a/b/manifests/v1', `/v2/a/b/manifests/${digest}`]);
  });

  test('is asked for in every form that a runtime can use, or in those that the client names', async () => {
    const { repository, requests } = await startManifestOrigin((response) => {
      response.writeHead(200, { 'content-type': manifestType }).end(manifest);
    });
    await client.getManifest(repository, 'v1', { credentials });
    await client.getManifest(repository, 'v1', { credentials, accept: ['application/x', '*/*;q=0.1'] });
    expect(requests[0]?.headers.accept?.split(', ')).toEqual([
      'application/vnd.oci.image.index.v1+json',
      'application/vnd.docker.distribution.manifest.list.v2+json',
      manifestType,
      'application/vnd.docker.distribution.manifest.v2+json',
    ]);
    expect(requests[1]?.headers.accept).toBe('application/x, */*;q=0.1');
  });

  test.each<[string, string, (response: ServerResponse) => void, RegExp]>([
    [
      'other content than its digest names',
      digestOf('other'),
      (response) => response.writeHead(200, { 'content-type': manifestType }).end(manifest),
      /whose digest is sha256:/,
    ],
    [
      'other content than its header names',
      'v1',
      (response) => {
        const headers = { 'content-type': manifestType, 'docker-content-digest': digestOf('other') };
        response.writeHead(200, headers).end(manifest);
      },
      /whose digest is sha256:/,
    ],
    ['no type', 'v1', (response) => response.end(manifest), /without Content-Type/],
    [
      'more than 4 MiB',
      'v1',
      (response) => response.writeHead(200, { 'content-type': manifestType }).end(Buffer.alloc(4 * 1024 * 1024 + 1)),
      /more than 4194304 bytes/,
    ],
    ['headers without end', 'v1', (response) => response.writeHead(200, { x: 'x'.repeat(20_000) }).end(), /Header/],
    [
      'interim answers without end',
      'v1',
      (response) => {
        for (let sent = 0; sent < 20; sent += 1) response.writeProcessing();
      },
      /more than 16 informational answers/,
    ],
  ])('of %s is refused', async (_, reference, answer, message) => {
    const { repository, requests } = await startManifestOrigin(answer);
    const got = client.getManifest(repository, reference, { credentials });
    await expect(got).rejects.toMatchObject({ kind: 'invalid', message: expect.stringMatching(message) });
    expect(requests).toHaveLength(1);
  });

  test('of exactly 4 MiB is taken', async () => {
    const body = Buffer.alloc(4 * 1024 * 1024, ' ');
    const { repository } = await startManifestOrigin((response) => {
      response.writeHead(200, { 'content-type': manifestType }).end(body);
    });
    await expect(client.getManifest(repository, 'v1', { credentials })).resolves.toMatchObject({
      digest: digestOf(body),
    });
  });

  test('is asked for again after a cut connection and an error of the registry', async () => {
    let answers = 0;
    const { repository } = await startManifestOrigin((response) => {
      answers += 1;
      if (answers === 1) response.socket?.end();
      else if (answers === 2) response.writeHead(502).end();
      else if (answers === 3) {
        response.writeHead(200, { 'content-type': manifestType, 'content-length': manifest.length });
        response.write(manifest.subarray(0, 5), () => response.socket?.end());
      } else response.writeHead(200, { 'content-type': manifestType }).end(manifest);
    });
    await expect(client.getManifest(repository, 'v1', { credentials })).resolves.toMatchObject({ body: manifest });
    expect(answers).toBe(4);
  });

  test.each<[number, string, string]>([
    [403, 'denied', '{"errors":[{"code":"DENIED","message":"not\\nfor\\u0007 you"}]}'],
    [400, 'invalid', '<html>'],
    [418, 'invalid', ''],
  ])('that is refused with %i is an error of kind %s, printable whatever the body says', async (status, kind, body) => {
    const { repository, host } = await startManifestOrigin((response) => response.writeHead(status).end(body));
    const got = client.getManifest(repository, 'v1', { credentials });
    const detail = status === 403 ? ' DENIED: not?for? you' : '';
    await expect(got).rejects.toMatchObject({
      kind,
      status,
      message: `GET http://${host}/v2/a/b/manifests/v1: ${status}${detail}`,
    });
  });

  test.each([
    ['a/../../secret', 'v1'],
    ['a/b', '../../secret'],
    ['a/b', 'sha256:x'],
  ])('of repository %s and reference %s is never asked for', async (name, reference) => {
    const { repository, requests } = await startManifestOrigin((response) => response.end());
    const got = client.getManifest({ ...repository, repository: name }, reference, { credentials });
    await expect(got).rejects.toMatchObject({ kind: 'invalid' });
    expect(requests).toHaveLength(0);
  });
});

describe('HEAD', () => {
  test('of a manifest tells digest, type and size', async () => {
    const { repository, requests } = await startManifestOrigin((response) => {
      const headers = { 'content-type': manifestType, 'content-length': 28, 'docker-content-digest': digest };
      response.writeHead(200, headers).end();
    });
    const head = { digest, mediaType: manifestType, size: 28 };
    await expect(client.headManifest(repository, 'v1', { credentials })).resolves.toEqual(head);
    const other = client.headManifest(repository, digestOf('other'), { credentials });
    await expect(other).rejects.toMatchObject({ kind: 'invalid' });
    expect(requests.map(({ method }) => method)).toEqual(['HEAD', 'HEAD']);
  });

  test.each<[string, (response: ServerResponse) => void]>([
    ['is not allowed', (response) => response.writeHead(405).end()],
    ['says nothing', (response) => response.writeHead(200).end()],
    [
      'has a digest that is none',
      (response) => response.writeHead(200, { 'content-type': manifestType, 'docker-content-digest': 'md5:1' }).end(),
    ],
  ])('that %s is replaced by a GET', async (_, answerHead) => {
    const { repository } = await startManifestOrigin((response, method) => {
      if (method === 'HEAD') answerHead(response);
      else response.writeHead(200, { 'content-type': manifestType }).end(manifest);
    });
    const head = { digest, mediaType: manifestType, size: manifest.length };
    await expect(client.headManifest(repository, 'v1', { credentials })).resolves.toEqual(head);
  });

  test('of a blob without a length is refused', async () => {
    const { repository } = await startManifestOrigin((response) => {
      response.writeHead(200, { 'transfer-encoding': 'chunked' }).end();
    });
    const head = client.headBlob(repository, digest, { credentials });
    await expect(head).rejects.toMatchObject({
      kind: 'invalid',
      message: expect.stringMatching(/without Content-Length/),
    });
  });
});
