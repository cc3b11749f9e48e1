import { createHash, createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Scope } from '../scope.ts';

/*
 * Object storage as a registry uses it: presigned GETs. Both kinds of signature are made and checked here as OSS describes them
 * (help.aliyun.com, OSS "Signature version 1", "Signature version 4"); the product knows neither.
 */

const key = { id: 'LTAI5tRegistryOfTests', secret: 'the-secret-of-the-registry' };
const region = 'cn-hangzhou';
const scopeDate = '20260101';
const dateTime = `${scopeDate}T000000Z`;

export type PresignedBy = 'v1' | 'v4' | 'v4-host';

export const bucket = 'images';
export const bucketHost = `${bucket}.oss-${region}.aliyuncs.com`;
export const acceleratedHost = `${bucket}.oss-accelerate.aliyuncs.com`;

/** A URL that lets whoever has it GET the object, at the bucket's own host. */
export function presign(object: string, by: PresignedBy): string {
  const url = new URL(`http://${bucketHost}/${object}`);
  if (by === 'v1') {
    url.searchParams.set('OSSAccessKeyId', key.id);
    url.searchParams.set('Expires', '4000000000');
    url.searchParams.set('Signature', signatureV1('4000000000', object));
    return url.href;
  }
  const additional = by === 'v4-host' ? ['host'] : [];
  url.searchParams.set('x-oss-signature-version', 'OSS4-HMAC-SHA256');
  url.searchParams.set('x-oss-credential', `${key.id}/${scopeDate}/${region}/oss/aliyun_v4_request`);
  url.searchParams.set('x-oss-date', dateTime);
  url.searchParams.set('x-oss-expires', '86400');
  if (additional.length > 0) url.searchParams.set('x-oss-additional-headers', additional.join(';'));
  url.searchParams.set('x-oss-signature', signatureV4(url.searchParams, object, additional, bucketHost));
  return url.href;
}

export interface ObjectStorage {
  /** It is its own HTTP proxy: that is how its names are found here. */
  readonly proxyUrl: string;
  /** Host, range and status of every request. */
  readonly requests: { readonly host: string; readonly range: string | undefined; readonly status: number }[];
  /** Whether the bucket's transfer acceleration is switched on; `hang`: it is, and never answers. */
  acceleration: 'on' | 'off' | 'reset';
}

/** Starts object storage with one object in its bucket. */
export async function startObjectStorage(scope: Scope, object: string, content: Buffer): Promise<ObjectStorage> {
  const storage: { requests: ObjectStorage['requests'][number][]; acceleration: ObjectStorage['acceleration'] } = {
    requests: [],
    acceleration: 'on',
  };
  const server = createServer((request, response) => {
    // What a proxy is asked for stands there with its host.
    const { host, pathname, searchParams } = new URL(request.url ?? '/', 'http://not-by-proxy');
    if (host === acceleratedHost && storage.acceleration === 'reset') {
      request.socket.resetAndDestroy();
      return;
    }
    const off = host === acceleratedHost && storage.acceleration === 'off';
    const status =
      off || request.method !== 'GET' || pathname !== `/${object}` || !isSigned(searchParams, object, host)
        ? 403
        : serve(request, response, content);
    if (status === 403) response.writeHead(403, { 'content-type': 'application/xml' }).end('<Error/>');
    storage.requests.push({ host, range: request.headers.range, status });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.defer(() => {
    server.close();
    server.closeAllConnections();
  });
  const proxyUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return Object.assign(storage, { proxyUrl });
}

function isSigned(query: URLSearchParams, object: string, host: string): boolean {
  if (!host.startsWith(`${bucket}.oss-`)) return false;
  const v1 = query.get('Signature');
  if (v1 !== null) return v1 === signatureV1(query.get('Expires') ?? '', object);
  const additional = (query.get('x-oss-additional-headers') ?? '').split(';').filter((name) => name !== '');
  return query.get('x-oss-signature') === signatureV4(query, object, additional, host);
}

function serve(request: IncomingMessage, response: ServerResponse, content: Buffer): number {
  const [, first = '0', last = String(content.length - 1)] =
    /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  const part = content.subarray(Number(first), Number(last) + 1);
  const status = request.headers.range === undefined ? 200 : 206;
  response.writeHead(status, {
    'content-length': part.length,
    ...(status === 206 && { 'content-range': `bytes ${first}-${last}/${content.length}` }),
  });
  response.end(part);
  return status;
}

function signatureV1(expires: string, object: string): string {
  const text = ['GET', '', '', expires, `/${bucket}/${object}`].join('\n');
  return createHmac('sha1', key.secret).update(text).digest('base64');
}

function signatureV4(query: URLSearchParams, object: string, additional: readonly string[], host: string): string {
  const pairs = [...query]
    .filter(([name]) => name !== 'x-oss-signature')
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
    .toSorted();
  const headers = additional.map((name) => `${name}:${name === 'host' ? host : ''}\n`).join('');
  const path = `/${bucket}/${object}`;
  const canonical = ['GET', path, pairs.join('&'), headers, additional.join(';'), 'UNSIGNED-PAYLOAD'].join('\n');
  const scope = `${scopeDate}/${region}/oss/aliyun_v4_request`;
  const hash = createHash('sha256').update(canonical).digest('hex');
  const text = ['OSS4-HMAC-SHA256', dateTime, scope, hash].join('\n');
  const mac = (secret: string | Buffer, data: string) => createHmac('sha256', secret).update(data).digest();
  const signingKey = [scopeDate, region, 'oss', 'aliyun_v4_request'].reduce<string | Buffer>(
    (secret, part) => mac(secret, part),
    `aliyun_v4${key.secret}`,
  );
  return mac(signingKey, text).toString('hex');
}
