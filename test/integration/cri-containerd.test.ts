import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CriProxy } from '../../src/cri/proxy.ts';
import type { PullSession, PullSessions } from '../../src/cri/types.ts';
import { type Containerd, startContainerd } from '../harness/containerd.ts';
import { CriClient } from '../harness/cri-client.ts';
import { GrpcCaller } from '../harness/grpc-caller.ts';
import { imageContent, startImageRegistry } from '../harness/image-registry.ts';
import { layered } from '../harness/images.ts';
import { keptLog } from '../harness/log-lines.ts';
import { noSessions } from '../harness/pull-sessions.ts';
import { startRelay } from '../harness/relay.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

let scope: Scope;
let containerd: Containerd;
let listen: string;
let kept: ReturnType<typeof keptLog>;

beforeEach(async () => {
  scope = new Scope();
  listen = path.join(await temporaryFolder(scope, 'cri'), 'shoal.sock');
  containerd = await startContainerd(scope);
  kept = keptLog();
});
afterEach(() => scope.close());

async function serve(sessions: PullSessions): Promise<void> {
  const proxy = new CriProxy({ runtimeSocket: containerd.socket, sessions, log: kept.log });
  await proxy.listen({ path: listen });
  scope.defer(() => proxy.close(0));
}

describe('containerd behind the proxy', () => {
  test.each([
    'ImageService/ImageFsInfo',
    'ImageService/ListImages',
    'ImageService/StreamImages',
    'RuntimeService/Version',
  ])('answers %s with the same bytes, status and trailers as without', async (method) => {
    await serve(noSessions);
    const call = (socket: string) => new GrpcCaller(scope, socket).call(`/runtime.v1.${method}`, [Buffer.alloc(0)]);
    const direct = withoutTime(await call(containerd.socket));
    expect(withoutTime(await call(listen))).toEqual(direct);
    expect([status.OK, status.UNIMPLEMENTED]).toContain(direct.code);
  });

  test('is used again after a restart, and answers UNAVAILABLE while it is away', async () => {
    await serve(noSessions);
    const cri = new CriClient(scope, listen);
    await cri.version();
    await containerd.kill();
    await expect(cri.version()).rejects.toMatchObject({ code: status.UNAVAILABLE });
    await containerd.restart();
    expect((await cri.version()).runtime_name).toBe('containerd');
  });

  test('pulls after all when Shoal gave it a wrong byte, whose download is forgotten', async () => {
    const registry = await startImageRegistry(scope, { layered });
    const content = await imageContent(registry.url, 'layered');
    const victim = content.layers.at(-1)?.digest;
    const mirror = await startRelay(scope, registry.url);
    mirror.rule = ({ method, reference }) =>
      method === 'GET' && reference === victim ? { kind: 'flip', at: 0 } : undefined;
    const folder = path.join(containerd.certsFolder, '_default');
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, 'hosts.toml'), `[host."${mirror.url}"]\n  capabilities = ["pull", "resolve"]\n`);
    await serve(
      acceptingSessions(() => {
        mirror.rule = () => ({ kind: 'status', status: 404 });
      }),
    );

    await new CriClient(scope, listen).pullImage(`${registry.host}/layered:v1`);

    expect(await containerd.verifiedContent()).toEqual([...new Set(content.blobs.map(({ digest }) => digest))].sort());
    expect(kept.lines.find(({ level }) => level === 40)).toMatchObject({
      error: expect.stringContaining('unexpected commit digest'),
      ingest: `layer-${victim}`,
    });
    expect(await kept.line('pull')).toMatchObject({ result: 'ok', repeated: true });
  });
});

/** An engine that accepts every pull and has served all of it; `refuse` makes its mirror refuse the image. */
function acceptingSessions(refuse: () => void): PullSessions {
  const decision = { kind: 'accepted', rule: 'test rule' } as const;
  return {
    open: (): PullSession => ({
      decision,
      decided: () => Promise.resolve(decision),
      fallBack: () => {
        refuse();
        return Promise.resolve({ served: 1, cause: '' });
      },
      finish: () =>
        Promise.resolve({
          imageBytes: 1,
          memoryBytes: 0,
          diskBytes: 0,
          peerBytes: 0,
          mirrorBytes: 0,
          originBytes: 1,
          rule: 'test rule',
        }),
      close: () => undefined,
    }),
  };
}

/**
 * The same without the moment of measuring in ImageFsInfo: the first field of its first message, in nanoseconds, nine
 * bytes of varint.
 */
function withoutTime<T extends { readonly messages: readonly Buffer[] }>(observed: T): T {
  const [message] = observed.messages;
  if (message?.[0] === 0x0a && message[2] === 0x08) message.fill(0, 3, 12);
  return observed;
}
