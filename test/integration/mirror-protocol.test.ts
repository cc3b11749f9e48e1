import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMirror, type Mirror, type MirrorOptions } from '../../src/mirror/mirror.ts';
import { PullError, type PullErrorKind } from '../../src/pull/types.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { exchange, requestText } from '../harness/raw-http.ts';
import { ScriptedBackend } from '../harness/scripted-backend.ts';

const secret = 'a'.repeat(64);
const blob = randomBytes(300_000);
const manifestType = 'application/vnd.oci.image.manifest.v1+json';
const manifest = Buffer.from('{ "schemaVersion": 2, "odd":  "spacing" }\n');

let backend: ScriptedBackend;
let mirror: Mirror;
let digest: string;
let manifestDigest: string;

beforeEach(async () => {
  backend = new ScriptedBackend();
  digest = backend.addBlob(blob);
  manifestDigest = backend.addManifest('v1', { mediaType: manifestType, body: manifest });
  await start({});
});

afterEach(async () => {
  await mirror.close();
  expect(backend).toMatchObject({ unreleased: 0, releasedTwice: 0 });
});

async function start(options: Partial<MirrorOptions>): Promise<void> {
  await mirror?.close();
  mirror = createMirror({
    host: '127.0.0.1',
    port: 0,
    backend,
    secret,
    pathFormSessions: false,
    firstByteTimeout: 30,
    stallTimeout: 30,
    maxRequests: 16,
    log: createLogger({ name: 'test', level: 'silent' }),
    ...options,
  });
  await mirror.listen();
}

const get = (target: string, headers: Record<string, string> = {}, method = 'GET') =>
  exchange(mirror.address.port, requestText(target, headers, method), method);
const getBlob = (headers: Record<string, string> = {}, method = 'GET') =>
  get(`/v2/app/blobs/${digest}?ns=reg.test`, headers, method);

describe('GET /v2/', () => {
  it.each(['GET', 'HEAD'])('tells the version (%s)', async (method) => {
    const answer = await get('/v2/', {}, method);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('docker-distribution-api-version')).toBe('registry/2.0');
    expect(answer.body.toString()).toBe(method === 'GET' ? '{}' : '');
  });
});

describe('a manifest', () => {
  it.each(['v1', 'digest'])('comes with its exact bytes and type (by %s), and HEAD tells the same', async (by) => {
    const target = `/v2/app/manifests/${by === 'v1' ? 'v1' : manifestDigest}?ns=reg.test`;
    const answer = await get(target);
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual(manifest);
    const expected = {
      'content-type': manifestType,
      'content-length': String(manifest.length),
      'docker-content-digest': manifestDigest,
      etag: `"${manifestDigest}"`,
    };
    expect(Object.fromEntries(answer.headers)).toMatchObject(expected);
    const head = await get(target, {}, 'HEAD');
    expect(head).toMatchObject({ status: 200, body: Buffer.alloc(0) });
    expect(Object.fromEntries(head.headers)).toMatchObject(expected);
  });
});

describe('the backend learns', () => {
  it('the Accept values in their order, however many headers they came in', async () => {
    const text = requestText('/v2/app/manifests/v1?ns=reg.test', { Accept: 'a/b; q=0.5, c/d' });
    await exchange(mirror.address.port, text.replace('\r\n\r\n', '\r\nAccept: e/f\r\n\r\n'));
    expect(backend.requests[0]?.requester.accept).toEqual(['a/b; q=0.5', 'c/d', 'e/f']);
  });

  it("the client's own Authorization", async () => {
    await getBlob({ Authorization: 'Basic c2VjcmV0' });
    await getBlob();
    expect(backend.requests.map(({ requester }) => requester.authorization)).toEqual(['Basic c2VjcmV0', undefined]);
  });

  it('that the runtime asks only from the right secret', async () => {
    for (const given of [secret, 'b'.repeat(64), secret.slice(1), `${secret}a`, '', undefined]) {
      await getBlob(given === undefined ? {} : { 'X-Shoal-Secret': given });
    }
    expect(backend.requests.map(({ requester }) => requester.runtime)).toEqual([true, ...Array(5).fill(false)]);
  });

  it('that the runtime asks from the form of the path only when that is allowed', async () => {
    await get(`/v2/reg.test/app/blobs/${digest}`);
    await start({ pathFormSessions: true });
    await get(`/v2/reg.test/app/blobs/${digest}`);
    await getBlob();
    expect(backend.requests.map(({ requester }) => requester.runtime)).toEqual([false, true, false]);
    expect(backend.requests[1]?.requester).toMatchObject({ registry: 'reg.test', repository: 'app' });
  });
});

describe('a blob', () => {
  const complete = () => ({
    'content-type': 'application/octet-stream',
    'content-length': String(blob.length),
    'docker-content-digest': digest,
    'accept-ranges': 'bytes',
    etag: `"${digest}"`,
  });

  it('comes whole and as it is, even to a client that would take it compressed', async () => {
    const answer = await getBlob({ 'Accept-Encoding': 'zstd, gzip' });
    expect(answer.status).toBe(200);
    expect(answer.body.equals(blob)).toBe(true);
    expect(Object.fromEntries(answer.headers)).toMatchObject(complete());
    expect(answer.headers.has('content-encoding')).toBe(false);
  });

  it('has everything in its HEAD and reads no byte for it', async () => {
    const answer = await getBlob({ Range: 'bytes=0-9' }, 'HEAD');
    expect(answer).toMatchObject({ status: 200, body: Buffer.alloc(0) });
    expect(Object.fromEntries(answer.headers)).toMatchObject(complete());
    expect(backend.reads).toEqual([]);
  });

  it('of no bytes is an answer of no bytes', async () => {
    const empty = backend.addBlob(Buffer.alloc(0));
    const answer = await get(`/v2/app/blobs/${empty}?ns=reg.test`);
    expect(answer).toMatchObject({ status: 200, body: Buffer.alloc(0), end: 'complete' });
    expect(answer.headers.get('content-length')).toBe('0');
  });

  it.each([
    ['bytes=0-0', 0, 1],
    ['bytes=100-199', 100, 200],
    ['bytes=65530-200000', 65530, 200001],
    ['bytes=299999-', 299999, 300000],
    ['bytes=0-', 0, 300000],
    ['bytes=-5', 299995, 300000],
    ['bytes=10-999999', 10, 300000],
  ])('in the range %s is 206 with exactly these bytes', async (range, start, end) => {
    const answer = await getBlob({ Range: range });
    expect(answer.status).toBe(206);
    expect(answer.headers.get('content-range')).toBe(`bytes ${start}-${end - 1}/300000`);
    expect(answer.headers.get('content-length')).toBe(String(end - start));
    expect(answer.body.equals(blob.subarray(start, end))).toBe(true);
    expect(backend.reads).toEqual([[start, end]]);
  });

  it('with no satisfiable range is 416 and tells its size', async () => {
    const answer = await getBlob({ Range: 'bytes=300000-' });
    expect(answer.status).toBe(416);
    expect(answer.headers.get('content-range')).toBe('bytes */300000');
  });

  it.each(['bytes=9-1', 'lines=1-2', 'bytes=x'])('comes whole for the Range %s, which means nothing', async (range) => {
    const answer = await getBlob({ Range: range });
    expect(answer.status).toBe(200);
    expect(answer.body.equals(blob)).toBe(true);
  });

  it('honours If-Range: the range for the same ETag, everything for another or for a date', async () => {
    const statusFor = async (ifRange: string) => (await getBlob({ Range: 'bytes=1-2', 'If-Range': ifRange })).status;
    expect(await statusFor(`"${digest}"`)).toBe(206);
    expect(await statusFor('"other"')).toBe(200);
    expect(await statusFor(`W/"${digest}"`)).toBe(200);
    expect(await statusFor('Wed, 21 Oct 2015 07:28:00 GMT')).toBe(200);
  });

  it('in several ranges comes as multipart/byteranges, one part per range, in their order', async () => {
    const ranges = [
      [200_000, 280_000],
      [0, 1],
      [299_990, 300_000],
    ] as const;
    const answer = await getBlob({ Range: 'bytes=200000-279999, 0-0, -10' });
    expect(answer.status).toBe(206);
    const boundary = /^multipart\/byteranges; boundary=(\w+)$/.exec(answer.headers.get('content-type') ?? '')?.[1];
    const expected = ranges.map(([start, end]) =>
      Buffer.concat([
        Buffer.from(
          `--${boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes ${start}-${end - 1}/300000\r\n\r\n`,
        ),
        blob.subarray(start, end),
        Buffer.from('\r\n'),
      ]),
    );
    expect(answer.body.equals(Buffer.concat([...expected, Buffer.from(`--${boundary}--\r\n`)]))).toBe(true);
  });

  it('in 1024 ranges, as zstd:chunked asks for them, has 1024 parts; in more it is 400', async () => {
    const ranges = (count: number) =>
      `bytes=${Array.from({ length: count }, (_, index) => `${250 * index}-${250 * index + 99}`).join(',')}`;
    const answer = await getBlob({ Range: ranges(1024) });
    expect(answer.status).toBe(206);
    expect(answer.body.toString('latin1').split('Content-Range: ')).toHaveLength(1025);
    expect((await getBlob({ Range: ranges(1025) })).status).toBe(400);
  });

  it('is never sent more than once for one request, whatever overlapping ranges it asks for', async () => {
    const answer = await getBlob({ Range: `bytes=${Array(1000).fill('0-').join(',')}` });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-length')).toBe(String(blob.length));
  });
});

describe('a request that gets no content', () => {
  const refusals: [PullErrorKind, number, string][] = [
    ['not-found', 404, 'BLOB_UNKNOWN'],
    ['challenge', 401, 'UNAUTHORIZED'],
    ['unauthorized', 401, 'UNAUTHORIZED'],
    ['unavailable', 503, 'UNAVAILABLE'],
    ['corrupt', 503, 'UNAVAILABLE'],
  ];

  it.each(refusals)('because of %s is %i with %s and the cause', async (kind, status, code) => {
    backend.beforeOpen = () => {
      throw new PullError(kind, 'the very cause');
    };
    const answer = await getBlob();
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toBe('application/json');
    expect(JSON.parse(answer.body.toString())).toEqual({ errors: [{ code, message: 'the very cause', detail: null }] });
    expect(answer.headers.get('www-authenticate')).toBe(status === 401 ? 'Basic realm="shoal"' : undefined);
    const head = await getBlob({}, 'HEAD');
    expect(head).toMatchObject({ status, body: Buffer.alloc(0), end: 'complete' });
  });

  it('because a blob turned out wrong before its first byte is 503, and the connection goes on', async () => {
    backend.beforeChunk = () => {
      throw new PullError('corrupt', 'wrong bytes');
    };
    expect(await getBlob()).toMatchObject({ status: 503, end: 'complete' });
  });

  it('because something unexpected happened is 503 and does not show what', async () => {
    backend.beforeOpen = () => {
      throw new TypeError('internals');
    };
    const answer = await getBlob();
    expect(answer.status).toBe(503);
    expect(answer.body.toString()).not.toContain('internals');
  });

  it('because it is no pull is 404 in the JSON of the specification', async () => {
    const answer = await get('/v2/_catalog');
    expect(answer.status).toBe(404);
    expect(JSON.parse(answer.body.toString())).toMatchObject({ errors: [{ code: 'UNSUPPORTED' }] });
  });

  it.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'])('because its method is %s is 405', async (method) => {
    const answer = await get('/v2/app/manifests/v1?ns=reg.test', { 'Content-Length': '0' }, method);
    expect(answer.status).toBe(405);
    expect(answer.headers.get('allow')).toBe('GET, HEAD');
    expect(backend.requests).toEqual([]);
  });

  it('is answered although it has a body', async () => {
    const body = Buffer.alloc(1_000_000, 'x').toString();
    const text = requestText('/v2/app/blobs/uploads/', { 'Content-Length': String(body.length) }, 'POST');
    expect(await exchange(mirror.address.port, text + body)).toMatchObject({ status: 405, end: 'complete' });
  });

  it('because it is not HTTP is 400, then FIN', async () => {
    expect(await exchange(mirror.address.port, 'hello\r\n\r\n')).toMatchObject({ status: 400 });
  });

  it('because its headers have no end in sight is 431', async () => {
    const answer = await exchange(mirror.address.port, requestText('/v2/', { Filler: 'x'.repeat(70_000) }));
    expect(answer.status).toBe(431);
  });
});
