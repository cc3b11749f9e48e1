import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { startAcr } from '../acr/start.ts';
import { loopbackSecret } from '../config/loopback.ts';
import type { Config } from '../config/schema.ts';
import { createMirror } from '../mirror/mirror.ts';
import { native } from '../native/index.ts';
import { PullEngine } from '../pull/engine.ts';
import { createPolicy } from '../pull/policy.ts';
import { createPieceStore } from '../store/store.ts';
import type { Logger } from '../telemetry/log.ts';
import { EngineService } from './engine-service.ts';
import { configuredRegistryClient } from './registry.ts';
import { joinSwarm } from './swarm.ts';

/** Runs until the supervisor closes its end of standard input, or SIGTERM. Throws when a part can't start. */
export async function runEngine(config: Config, log: Logger): Promise<void> {
  const stop = stopSignal();
  await mkdir(config.runDir, { recursive: true, mode: 0o755 });
  const { cache } = config.p2p.v2;
  const store = await createPieceStore({ config: cache, directory: path.join(config.stateDir, 'cache'), native, log });
  const acr = await startAcr(config, log, { environment: process.env });
  const client = configuredRegistryClient(config, log);
  const joined = await joinSwarm(config, store, log);
  const engine = new PullEngine({
    ...(joined && { swarm: joined.swarm }),
    client,
    store,
    native,
    policy: createPolicy({ ...config.registries, instanceHosts: () => acr.instances.hosts() }),
    blockBytes: cache.blocksize * 1024,
    parallels: config.p2p.proxyFsParallels,
    authorizationTTL: config.p2p.authorizationTTL,
    log,
  });
  const mirror = createMirror({
    host: '127.0.0.1',
    port: config.mirror.port,
    backend: engine,
    secret: await loopbackSecret(config.stateDir),
    pathFormSessions: servesPathFormSessions(config),
    firstByteTimeout: config.mirror.firstByteTimeout,
    stallTimeout: config.mirror.stallTimeout,
    maxRequests: config.p2p.proxyFsParallels,
    log,
  });
  await mirror.listen();
  const service = new EngineService(engine, store, config.runDir, log);
  await service.listen();
  log.info({ mirror: mirror.address, cache: store.stat() }, 'engine ready');

  await stop;
  log.info('engine stops');
  service.close();
  await mirror.close();
  await joined?.close();
  await client.close();
  await acr.close();
  await store.close();
}

/** CRI-O's mirror requests carry no secret (its configuration has no place for one): there the path form has to do. */
function servesPathFormSessions(config: Config): boolean {
  if (config.mirror.pathFormSessions !== 'auto') return config.mirror.pathFormSessions === 'on';
  return /crio/.test(config.runtimeEndpoint);
}

/** Standard input ends with the supervisor, even when that is killed: the engine never outlives it. */
async function stopSignal(): Promise<void> {
  process.stdin.resume();
  await Promise.race([once(process.stdin, 'end'), once(process.stdin, 'close'), once(process, 'SIGTERM')]);
}
