import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { startAcr } from '../acr/start.ts';
import { systemClock } from '../clock.ts';
import { loopbackSecret } from '../config/loopback.ts';
import type { Config } from '../config/schema.ts';
import { createKubernetesClient, defaultLimits } from '../kubernetes/client.ts';
import { EventRecorder } from '../kubernetes/event-recorder.ts';
import { createMirror } from '../mirror/mirror.ts';
import { native } from '../native/index.ts';
import { PullEngine } from '../pull/engine.ts';
import { PullHistory } from '../pull/history.ts';
import { createPieceStore } from '../store/store.ts';
import type { StoreStat } from '../store/types.ts';
import type { Logger } from '../telemetry/log.ts';
import { EngineService } from './engine-service.ts';
import { kubernetesAccess } from './kubernetes-access.ts';
import { Observation } from './observation.ts';
import { startPolicy } from './policy.ts';
import { Preheating } from './preheating.ts';
import { podEventOf } from './pull-event.ts';
import { configuredRegistryClient, ossAcceleration } from './registry.ts';
import { joinSwarm } from './swarm.ts';
import { startTraces } from './traces.ts';

/** Milliseconds that the API server has to take an event. */
const eventAnswerMs = 10_000;

/** Runs until the supervisor closes its end of standard input, or SIGTERM. Throws when a part can't start. */
export async function runEngine(config: Config, log: Logger): Promise<void> {
  const stop = stopSignal();
  await mkdir(config.runDir, { recursive: true, mode: 0o755 });
  const { cache } = config.p2p.v2;
  const store = await createPieceStore({ config: cache, directory: path.join(config.stateDir, 'cache'), native, log });
  const acr = await startAcr(config, log, { environment: process.env });
  const started = await startPolicy(config, () => acr.instances.hosts(), log);
  const oss = ossAcceleration(config, log);
  const preheating = new Preheating(acr.logins);
  let node = hostname();
  const traces = startTraces(config, () => node, log);
  const joined = await joinSwarm(config, store, { preheat: preheating.preheat, spans: traces?.remote, log });
  node = joined?.node.identity.id ?? node;
  const tunnels = config.p2p.plusMode.registryAccess === 'mirror' ? joined?.node : undefined;
  const client = configuredRegistryClient(config, log, {
    detour: oss,
    ...(tunnels && { tunnelFor: (url) => tunnels.routeTo(url.host) }),
  });
  const events = startEvents(config, { node, log });
  const history = new PullHistory({
    blockBytes: cache.blocksize * 1024,
    now: () => performance.now(),
    wall: Date.now,
    ...traces?.pulls,
    onEnd: (pull, scope) => {
      traces?.pulls.onEnd(pull, scope);
      const event = events && podEventOf(pull);
      if (event) events.record(event);
    },
  });
  const engine = new PullEngine({
    observer: history,
    ...(joined && { swarm: joined.swarm }),
    client,
    store,
    native,
    policy: started.policy,
    blockBytes: cache.blocksize * 1024,
    parallels: config.p2p.proxyFsParallels,
    authorizationTTL: config.p2p.authorizationTTL,
    log,
  });
  preheating.begin(engine, joined?.node, traces);
  const mirror = createMirror({
    host: '127.0.0.1',
    port: config.mirror.port,
    backend: engine,
    secret: await loopbackSecret(config.stateDir),
    pathFormSessions: servesPathFormSessions(config),
    firstByteTimeout: config.mirror.firstByteTimeout,
    stallTimeout: config.mirror.stallTimeout,
    maxRequests: config.p2p.proxyFsParallels,
    limitSendBuffer: native.limitSendBuffer,
    spans: traces?.requests,
    log,
  });
  await mirror.listen();
  const observation = new Observation({ history, store, mirror, swarm: joined, acr: acr.instances, oss, events });
  const service = new EngineService({ engine, store, observation, preheating, history, runDir: config.runDir, log });
  await service.listen();
  log.info({ mirror: mirror.address, cache: summary(store.stat()) }, 'engine ready');

  await stop;
  log.info('engine stops');
  service.close();
  observation.close();
  await Promise.all([traces?.close(), events?.close()]);
  await mirror.close();
  await joined?.close();
  await client.close();
  await started.close();
  await acr.close();
  await store.close();
}

/** Undefined where no events are written, which is the default. */
function startEvents(config: Config, { node, log }: { readonly node: string; readonly log: Logger }) {
  if (!config.kubernetes.events) return undefined;
  return new EventRecorder({
    client: createKubernetesClient(kubernetesAccess(config), { ...defaultLimits, answerMs: eventAnswerMs }),
    source: { component: 'shoal', host: node },
    clock: systemClock,
    wall: Date.now,
    log,
  });
}

/** What the log tells of the cache at the start. */
function summary({ mode, memory, disk, pieces, blobs }: StoreStat): object {
  const { capacity, engine, degraded } = disk ?? {};
  return { mode, pieces, blobs, memory: memory.capacity, ...(disk && { disk: { capacity, engine, degraded } }) };
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
