import { createHash, randomBytes } from 'node:crypto';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { createRegistryClient } from '../../src/registry/client.ts';
import { OssAcceleration } from '../../src/registry/oss-acceleration.ts';
import type { RegistryClient } from '../../src/registry/types.ts';
import {
  acceleratedHost,
  bucketHost,
  type ObjectStorage,
  type PresignedBy,
  presign,
  startObjectStorage,
} from '../harness/alibaba-cloud/oss.ts';
import { keptLog, type LogLine } from '../harness/log-lines.ts';
import { type OriginServer, startOrigin } from '../harness/origin-server.ts';
import { Scope } from '../harness/scope.ts';

const content = randomBytes(300_000);
const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`;
const object = 'docker/registry/v2/blobs/data';

let by: PresignedBy;
let storage: ObjectStorage;
let registry: OriginServer;
let client: RegistryClient;
let oss: OssAcceleration;
let lines: readonly LogLine[];

beforeEach(async () => {
  const scope = new Scope();
  onTestFinished(() => scope.close());
  by = 'v1';
  storage = await startObjectStorage(scope, object, content);
  registry = await startOrigin(scope, (_request, response) => {
    response.writeHead(307, { location: presign(object, by) }).end();
  });
  const kept = keptLog();
  lines = kept.lines;
  oss = new OssAcceleration(() => 0, kept.log);
  const environment = { HTTP_PROXY: storage.proxyUrl };
  const options = { hosts: {}, connectTimeout: 5, transferTimeout: 15, parallels: 8, environment, detour: oss };
  client = createRegistryClient(options, kept.log);
  scope.defer(() => client.close());
});

/** Fetches bytes of the blob; they must be the right ones. */
async function fetchRange(start: number, end: number): Promise<void> {
  const chunks: Buffer[] = [];
  await client.fetchBlob({ registry: registry.host, repository: 'a/b' }, digest, {
    credentials: { kind: 'anonymous' },
    range: { start, end },
    size: content.length,
    onData: (chunk) => void chunks.push(Buffer.from(chunk)),
  });
  expect(Buffer.concat(chunks).equals(content.subarray(start, end))).toBe(true);
}

const hosts = () => storage.requests.map(({ host, status }) => `${host} ${status}`);

describe('a presigned redirect to OSS', () => {
  test.each(['v1', 'v4'] as const)('signed by %s is good at the acceleration host, with its range', async (version) => {
    by = version;
    await fetchRange(1000, 2000);
    expect(storage.requests).toEqual([{ host: acceleratedHost, range: 'bytes=1000-1999', status: 206 }]);
    expect(oss.counts).toMatchObject({ accelerated: 1, fellBack: 0 });
  });

  test('whose signature covers the host goes where it was meant for, and is counted', async () => {
    by = 'v4-host';
    await fetchRange(0, content.length);
    await fetchRange(0, 10);
    expect(hosts()).toEqual([`${bucketHost} 200`, `${bucketHost} 206`]);
    expect(oss.counts.unchanged['signed-host']).toBe(2);
    expect(lines.filter(({ msg }) => msg.includes('signs the host'))).toHaveLength(1);
  });

  test.each(['off', 'reset'] as const)(
    'reaches the bucket all the same where its acceleration is of no use: %s',
    async (acceleration) => {
      storage.acceleration = acceleration;
      await fetchRange(0, 100);
      await fetchRange(100, 200);
      const tried = acceleration === 'off' ? [`${acceleratedHost} 403`] : [];
      // The second one doesn't try again.
      expect(hosts()).toEqual([...tried, `${bucketHost} 206`, `${bucketHost} 206`]);
      expect(oss.counts).toEqual({ accelerated: 1, fellBack: 1, unchanged: { 'signed-host': 0, failing: 1 } });
      expect(lines.map(({ msg }) => msg).join()).toContain('is transfer acceleration on for the bucket?');
    },
  );
});
