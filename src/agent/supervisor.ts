import { CriProxy } from '../cri/proxy.ts';
import type { Logger } from '../telemetry/log.ts';
import { EngineClient } from './engine-client.ts';
import { type EngineCommand, EngineProcess } from './engine-process.ts';
import { engineSocketPath } from './engine-socket.ts';
import { activatedSocket, childEnvironment, ServiceNotifier } from './systemd.ts';

/** Milliseconds that calls in flight may take to end after SIGTERM: below systemd's own bound of 90 s. */
const drainBound = 60_000;
/** Milliseconds that the engine may take to end after SIGTERM. */
const engineStopBound = 10_000;

export interface SupervisorOptions {
  /** The path of the CRI socket; a socket that the service manager passes (`LISTEN_FDS`) is taken instead. */
  readonly listen: string;
  /** `unix:///path` of the runtime's CRI socket. */
  readonly runtimeEndpoint: string;
  /** The folder of the engine's socket. */
  readonly runDir: string;
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
  const proxy = new CriProxy({
    runtimeSocket: options.runtimeEndpoint.replace(/^unix:\/\//, ''),
    sessions: new EngineClient(engineSocketPath(options.runDir)),
    log,
  });
  const engine = new EngineProcess({ ...options.engine, environment: childEnvironment(environment) }, log);
  const descriptor = activatedSocket(environment, process.pid);
  await proxy.listen(descriptor === undefined ? { path: options.listen } : { fd: descriptor });
  engine.start();
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
}

function fired(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
