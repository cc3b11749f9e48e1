import { CriProxy } from '../cri/proxy.ts';
import type { Logger } from '../telemetry/log.ts';
import { EngineClient } from './engine-client.ts';
import { engineSocketPath } from './engine-socket.ts';
import { drainBound, fired } from './supervisor.ts';
import { activatedSocket, ServiceNotifier } from './systemd.ts';

export interface BridgeOptions {
  /** `unix:///path` of the runtime's CRI socket. */
  readonly runtimeEndpoint: string;
  /** The folder of the engine's socket. */
  readonly runDir: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly log: Logger;
  /** Ends the bridge: SIGTERM and SIGINT. */
  readonly stop: AbortSignal;
}

/** There is no socket to share: a bridge stands in for an agent on the socket that the service manager holds. */
export class NothingToBridgeError extends Error {
  constructor() {
    super('a bridge needs the socket of shoal.socket (LISTEN_FDS): it is started by bootstrap.sh during an upgrade');
    this.name = 'NothingToBridgeError';
  }
}

/**
 * Answers on the service manager's socket while the agent is replaced, so that no call waits for that. Without an engine,
 * a port or a cache of its own: pulls are accelerated by whichever engine is there. Rejects with `NothingToBridgeError`.
 */
export async function runBridge({ runtimeEndpoint, runDir, environment, log, stop }: BridgeOptions): Promise<void> {
  const descriptor = activatedSocket(environment, process.pid);
  if (descriptor === undefined) throw new NothingToBridgeError();
  const notifier = new ServiceNotifier(environment, log);
  const proxy = new CriProxy({
    runtimeSocket: runtimeEndpoint.replace(/^unix:\/\//, ''),
    sessions: new EngineClient(engineSocketPath(runDir)),
    log,
  });
  await proxy.listen({ fd: descriptor });
  log.info({ runtime: runtimeEndpoint }, 'bridging');
  notifier.ready();
  await fired(stop);
  notifier.stopping();
  await proxy.close(drainBound);
}
