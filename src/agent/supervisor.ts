import { CriProxy } from '../cri/proxy.ts';
import type { Logger } from '../telemetry/log.ts';
import { callControl } from './control-client.ts';
import { EngineClient } from './engine-client.ts';
import { observe } from './engine-observer.ts';
import { type EngineCommand, EngineProcess } from './engine-process.ts';
import { engineSocketPath } from './engine-socket.ts';
import { LostPulls } from './lost-pulls.ts';
import { bridgeOn, dismissBridge } from './succession.ts';
import { SupervisorWatch } from './supervisor-watch.ts';
import { activatedSocket, childEnvironment, ServiceNotifier } from './systemd.ts';
import { Telemetry } from './telemetry.ts';

/** Milliseconds that calls in flight may take to end after SIGTERM: below systemd's own bound of 90 s. */
export const drainBound = 60_000;
/** Milliseconds that the engine may take to end after SIGTERM. */
const engineStopBound = 10_000;
/** Milliseconds that the next engine is waited for, to be told of a pull that the last one did not see the end of. */
const lostBound = 10 * 60_000;

export interface SupervisorOptions {
  /** The path of the CRI socket; a socket that the service manager passes (`LISTEN_FDS`) is taken instead. */
  readonly listen: string;
  /** `unix:///path` of the runtime's CRI socket. */
  readonly runtimeEndpoint: string;
  /** The folder of the engine's socket. */
  readonly runDir: string;
  /** Where metrics, health and the status page are served. */
  readonly telemetry: { readonly host: string; readonly port: number };
  /** How the engine is started; `environment` is the supervisor's own, without what is meant for it alone. */
  readonly engine: Omit<EngineCommand, 'environment'>;
  readonly environment: NodeJS.ProcessEnv;
  readonly log: Logger;
  /** Ends the supervisor: SIGTERM and SIGINT. */
  readonly stop: AbortSignal;
}

/**
 * Serves the CRI socket and keeps an engine running beside it, until `stop` fires. Then it takes no more calls, lets those
 * in flight end, and stops the engine. Rejects with `ListenError` or `SocketActivationError` when the socket can't be
 * served; the engine's failures never end it.
 */
export async function runSupervisor(options: SupervisorOptions): Promise<void> {
  const { environment, log, stop } = options;
  const notifier = new ServiceNotifier(environment, log);
  const engine = new EngineProcess({ ...options.engine, environment: childEnvironment(environment) }, log);
  const watch = new SupervisorWatch(() => engine.life);
  const lost = new LostPulls({
    life: () => engine.life,
    wall: Date.now,
    tell: async (pull) => {
      await callControl(options.runDir, 'Lost', pull, lostBound, { waits: true, signal: stop });
    },
    log,
  });
  const telemetry = new Telemetry({
    ...options.telemetry,
    observe: (about, name) => observe(options.runDir, about, name),
    supervisor: () => watch.stat(),
    log,
  });
  const proxy = new CriProxy({
    runtimeSocket: options.runtimeEndpoint.replace(/^unix:\/\//, ''),
    sessions: new EngineClient(engineSocketPath(options.runDir)),
    log,
    onPull: (outcome) => {
      watch.pulled(outcome);
      lost.pulled(outcome);
    },
  });
  const descriptor = activatedSocket(environment, process.pid);
  if (descriptor === undefined) {
    const bridge = await bridgeOn(options.listen);
    await proxy.listen({ path: options.listen, succeed: bridge !== undefined });
    await dismissBridge(options.listen, bridge);
  } else {
    await proxy.listen({ fd: descriptor });
  }
  engine.start();
  await telemetry.listen();
  log.info(
    { listen: options.listen, activated: descriptor !== undefined, runtime: options.runtimeEndpoint },
    'serving',
  );
  notifier.ready();

  await fired(stop);
  log.info('stopping: no new calls, those in flight may end');
  notifier.stopping();
  await proxy.close(drainBound);
  await engine.stop(engineStopBound);
  await telemetry.close();
}

/** Resolves when the signal fires. */
export function fired(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
