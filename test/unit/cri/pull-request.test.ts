import { deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { frameMessage } from '../../../src/cri/grpc.ts';
import { readPullRequest } from '../../../src/cri/pull-request.ts';
import { field } from '../../harness/protobuf.ts';

const image = field(1, field(1, 'docker.io/library/nginx:1'));
const auth = field(2, Buffer.concat([field(1, 'me'), field(2, 'secret'), field(5, 'identity')]));
const sandbox = field(
  3,
  Buffer.concat([
    field(1, Buffer.concat([field(1, 'web-0'), field(2, 'uid-1'), field(3, 'shop')])),
    field(6, Buffer.concat([field(1, 'app'), field(2, 'web')])),
    field(7, Buffer.concat([field(1, 'k8s.aliyun.com/image-accelerate-mode'), field(2, 'p2p')])),
  ]),
);

const everything = {
  image: 'docker.io/library/nginx:1',
  auth: {
    username: 'me',
    password: 'secret',
    auth: '',
    serverAddress: '',
    identityToken: 'identity',
    registryToken: '',
  },
  pod: {
    name: 'web-0',
    namespace: 'shop',
    uid: 'uid-1',
    labels: { app: 'web' },
    annotations: { 'k8s.aliyun.com/image-accelerate-mode': 'p2p' },
  },
};

describe('a PullImage request', () => {
  const message = Buffer.concat([image, auth, sandbox, field(99, 'of a newer kubelet')]);

  test('is read with its credentials and pod; fields that are not known do no harm', async () => {
    expect(await readPullRequest(frameMessage(message), undefined)).toEqual(everything);
  });

  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
  ])('is read when it is compressed with %s', async (encoding, compress) => {
    const body = frameMessage(compress(message));
    body[0] = 1;
    expect(await readPullRequest(body, encoding)).toEqual(everything);
  });

  test('without credentials and pod is the image alone', async () => {
    expect(await readPullRequest(frameMessage(image), undefined)).toEqual({ image: everything.image });
  });

  test('of an unknown encoding, without an image, or that decompresses without end, is not read', async () => {
    const bomb = frameMessage(gzipSync(Buffer.alloc(17 * 1024 * 1024)));
    bomb[0] = 1;
    const snappy = frameMessage(message);
    snappy[0] = 1;
    expect(await readPullRequest(bomb, 'gzip')).toBeUndefined();
    expect(await readPullRequest(snappy, 'snappy')).toBeUndefined();
    expect(await readPullRequest(frameMessage(auth), undefined)).toBeUndefined();
  });

  test('that is garbage is not read, and never an error', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        await readPullRequest(frameMessage(bytes), 'gzip');
        await readPullRequest(Buffer.from(bytes), undefined);
      }),
    );
  });
});
