import { CriProxy } from '../cri/proxy.ts';
import type { Logger } from '../telemetry/log.ts';
import { EngineClient } from './engine-client.ts';
import { engineSocketPath } from './engine-socket.ts';
import { markBridge } from './succession.ts';
import { drainBound, fired } from './supervisor.ts';
import { activatedSocket, ServiceNotifier } from './systemd.ts';

export interface BridgeOptions {
  /** The path of the agent's socket; a socket that the service manager passes (`LISTEN_FDS`) is shared instead. */
  readonly listen: string;
  /** `unix:///path` of the runtime's CRI socket. */
  readonly runtimeEndpoint: string;
  /** The folder of the engine's socket. */
  readonly runDir: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly log: Logger;
  /** Ends the bridge: SIGTERM and SIGINT. */
  readonly stop: AbortSignal;
}

/**
 * Answers while the agent is replaced, so that no call waits for that: on the service manager's socket, or, where nobody but the
 * agent holds one, in its place, until the next agent takes it from the bridge. Without an engine, a port or a cache of its own:
 * pulls are accelerated by whichever engine is there. Rejects with `ListenError`.
 */
export async function runBridge(options: BridgeOptions): Promise<void> {
  const { listen, runtimeEndpoint, runDir, environment, log, stop } = options;
  const descriptor = activatedSocket(environment, process.pid);
  const notifier = new ServiceNotifier(environment, log);
  const proxy = new CriProxy({
    runtimeSocket: runtimeEndpoint.replace(/^unix:\/\//, ''),
    sessions: new EngineClient(engineSocketPath(runDir)),
    log,
  });
  if (descriptor === undefined) {
    await proxy.listen({ path: listen, succeed: true });
    await markBridge(listen);
  } else {
    await proxy.listen({ fd: descriptor });
  }
  log.info({ runtime: runtimeEndpoint }, 'bridging');
  notifier.ready();
  await fired(stop);
  notifier.stopping();
  await proxy.close(drainBound);
}
