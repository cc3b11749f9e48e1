import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { startAcr } from '../acr/start.ts';
import type { Config } from '../config/schema.ts';
import { native } from '../native/index.ts';
import { MirrorCache } from '../pull/mirror-cache.ts';
import { createPieceStore } from '../store/store.ts';
import type { PieceStore } from '../store/types.ts';
import { LeaseWorker } from '../swarm/lease-worker.ts';
import type { AgentMessage } from '../swarm/messages.ts';
import { SwarmNode } from '../swarm/node.ts';
import { TunnelHandler } from '../swarm/tunnel/handler.ts';
import type { Logger } from '../telemetry/log.ts';
import { configuredRegistryClient, ossAcceleration } from './registry.ts';
import { serveTelemetry } from './role-telemetry.ts';
import { mustJoin } from './roles.ts';
import { stopSignal } from './stop-signal.ts';
import { startTraces } from './traces.ts';

/**
 * `shoal mirror` (plus mode's registry-mirror): a larger, lasting cache that fetches from registries with logins of its own, for
 * nodes that ask it, or because a directory shard leases it a piece. Runs until SIGTERM or SIGINT; throws when it can't serve.
 */
export async function runMirror(config: Config, log: Logger): Promise<void> {
  const stop = stopSignal();
  const store = await openStore(config, log);
  const acr = await startAcr(config, log, { environment: process.env });
  const oss = ossAcceleration(config, log);
  const client = configuredRegistryClient(config, log, { detour: oss });
  const traces = startTraces(config, () => node.identity.id, log);
  const spans = traces?.remote;
  const node = mustJoin(
    await SwarmNode.create({ config: config.p2p, role: 'mirror', native, environment: process.env, log, spans }),
  );
  let say: (message: AgentMessage) => void = () => undefined;
  const cache = new MirrorCache({
    client,
    store,
    native,
    blockBytes: config.p2p.v2.cache.blocksize * 1024,
    parallels: config.p2p.proxyFsParallels,
    credentialsFor: (registry, signal) => acr.logins.credentialsFor(registry, { signal }),
    onPiece: (blob, piece, crc32c) => say({ kind: 'have', blob, piece, crc32c, verified: false }),
    log,
    now: () => performance.now(),
    spans,
  });
  const tunnel = new TunnelHandler({
    hosts: new Set(Object.keys(config.registries.hosts)),
    connectTimeoutMs: config.p2p.connectTimeout * 1000,
    idleMs: 2 * config.p2p.transferTimeout * 1000,
    log,
    spans,
  });
  await node.listen(cache, { tunnel });
  const worker = new LeaseWorker({ fetch: (...request) => cache.fetch(...request), say: (message) => say(message) });
  if (config.p2p.plusMode.downloadPattern === 'p2p') say = attend(node, store, worker);
  const telemetry = await serveTelemetry(config, { store, swarm: { node }, acr: acr.instances, oss }, log);
  log.info({ id: node.identity.id, port: config.p2p.port, cache: store.stat() }, 'mirror ready');

  await stop;
  log.info('mirror stops');
  await Promise.all([telemetry.close(), traces?.close()]);
  worker.close();
  tunnel.close();
  await node.close();
  await client.close();
  await acr.close();
  await store.close();
}

function attend(node: SwarmNode, store: PieceStore, worker: LeaseWorker): (message: AgentMessage) => void {
  const directories = node.connect({
    receive: (message) => worker.receive(message),
    // It wants nothing itself, so nothing has to be asked again.
    replaced: () => undefined,
    changed: () => undefined,
    // Nothing is downloaded from peers, and everybody wants it to be asked first.
    pace: () => 0,
    *holdings() {
      for (const { digest: blob, index: piece, crc32c, verified } of store.holdings()) {
        yield { kind: 'have', blob, piece, crc32c, verified };
      }
    },
  });
  store.onRemove(({ digest: blob, index: piece }) => directories.say({ kind: 'gone', blob, piece }));
  return (message) => directories.say(message);
}

async function openStore(config: Config, log: Logger) {
  const { cacheHostPath, cacheTTL } = config.p2p.plusMode;
  const directory = cacheHostPath ?? path.join(config.stateDir, 'mirror');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  return createPieceStore({ config: { ...config.p2p.v2.cache, cacheTTL }, directory, native, log });
}
