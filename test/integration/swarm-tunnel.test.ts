import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createRegistryClient } from '../../src/registry/client.ts';
import { RegistryError } from '../../src/registry/types.ts';
import type { Member } from '../../src/swarm/membership/types.ts';
import { askToPreheat } from '../../src/swarm/preheat/client.ts';
import { PreheatHandler } from '../../src/swarm/preheat/handler.ts';
import type { Preheat } from '../../src/swarm/preheat/types.ts';
import type { TransferSecurity } from '../../src/swarm/transfer/listen-address.ts';
import { TunnelHandler } from '../../src/swarm/tunnel/handler.ts';
import { routeThrough } from '../../src/swarm/tunnel/route.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { startOrigin } from '../harness/origin-server.ts';
import { openPiecePort } from '../harness/piece-port.ts';
import { Scope } from '../harness/scope.ts';
import { SwarmAuthority } from '../harness/swarm-certificates.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const nothing = { get: async () => undefined };
let scope: Scope;

beforeEach(() => {
  scope = new Scope();
});
afterEach(() => scope.close());

async function securities(how: 'plain' | 'tls'): Promise<{ mirror: TransferSecurity; node: TransferSecurity }> {
  if (how === 'plain') return { mirror: { kind: 'loopback' }, node: { kind: 'loopback' } };
  const authority = await SwarmAuthority.create(scope);
  return {
    mirror: { kind: 'tls', certificates: await authority.issue('mirror-0') },
    node: { kind: 'tls', certificates: await authority.issue('node-1') },
  };
}

async function startMirror(security: TransferSecurity, hosts: readonly string[], preheat?: Preheat): Promise<Member> {
  const tunnel = new TunnelHandler({ hosts: new Set(hosts), connectTimeoutMs: 2_000, idleMs: 5_000, log });
  scope.defer(() => tunnel.close());
  const port = await openPiecePort({
    provider: nothing,
    log,
    security,
    port: 0,
    host: '127.0.0.1',
    transferTimeout: 2,
    tunnel,
    ...(preheat && { preheat: new PreheatHandler(preheat, log) }),
  });
  scope.defer(() => port.close());
  return { id: 'mirror-0', address: `127.0.0.1:${port.address.port}`, zone: '', role: 'mirror' };
}

async function startRegistry() {
  return await startOrigin(scope, (_request, response) => {
    response.setHeader('Content-Length', 7);
    response.end();
  });
}

function clientThrough(mirror: Member, security: TransferSecurity) {
  const client = createRegistryClient(
    {
      hosts: {},
      connectTimeout: 2,
      transferTimeout: 2,
      parallels: 8,
      environment: {},
      detour: undefined,
      tunnelFor: (url) => routeThrough([mirror], url.host, security),
    },
    log,
  );
  scope.defer(() => client.close());
  return client;
}

const options = { credentials: { kind: 'anonymous' } } as const;
const digest = `sha256:${'a'.repeat(64)}`;

describe.each(['plain', 'tls'] as const)('a node without a way out (%s)', (how) => {
  test('reaches a registry through a mirror', async () => {
    const { mirror: mirrorSecurity, node } = await securities(how);
    const registry = await startRegistry();
    const mirror = await startMirror(mirrorSecurity, [registry.host]);
    const client = clientThrough(mirror, node);
    expect(await client.headBlob({ registry: registry.host, repository: 'app' }, digest, options)).toEqual({ size: 7 });
    expect(registry.requests).toHaveLength(1);
  });

  test('reaches no other port through it', async () => {
    const { mirror: mirrorSecurity, node } = await securities(how);
    const registry = await startRegistry();
    const mirror = await startMirror(mirrorSecurity, []);
    const client = clientThrough(mirror, node);
    await expect(
      client.headBlob({ registry: registry.host, repository: 'app' }, digest, options),
    ).rejects.toBeInstanceOf(RegistryError);
    expect(registry.connections).toBe(0);
  });

  test('is preheated on request, and told why when that fails', async () => {
    const { mirror: security, node } = await securities(how);
    const mirror = await startMirror(security, [], async (image) => {
      if (image === 'reg.test/nobody') throw new Error('not there');
      return { bytes: 10, originBytes: 4, seconds: 1 };
    });
    const ask = (image: string) => askToPreheat(mirror, image, { security: node, connectTimeoutMs: 2_000 });
    expect(await ask('reg.test/app:v1')).toEqual({ bytes: 10, originBytes: 4, seconds: 1 });
    await expect(ask('reg.test/nobody')).rejects.toThrow('not there');
    await expect(ask('x'.repeat(10_000))).rejects.toThrow('more than 4096 bytes');
    await expect(ask('x'.repeat(2_000))).rejects.toThrow('the body is');
  });
});

test.each(['CONNECT nowhere HTTP/1.1', 'CONNECT [::1:443 HTTP/1.1', 'CONNECT 127.0.0.1:22 HTTP/1.1'])(
  'a mirror refuses %s',
  async (line) => {
    const mirror = await startMirror({ kind: 'loopback' }, []);
    const socket = connect(Number(mirror.address.split(':')[1]), '127.0.0.1');
    socket.end(`${line}\r\nHost: x\r\n\r\n`);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 40[03] /);
    socket.destroy();
  },
);
