import { access, constants } from 'node:fs/promises';
import { engineSocketPath } from '../../agent/engine-socket.ts';
import type { EngineSnapshot, PeerView } from '../../agent/observation.ts';
import type { NodeStatus } from '../../agent/telemetry.ts';
import type { Config } from '../../config/schema.ts';
import { fromEngine } from '../running-engine.ts';
import { askTelemetry } from '../telemetry-port.ts';
import { isRefused, reasonOf } from './findings.ts';
import type { RunningAgent } from './types.ts';

/** Asks the agent that runs what it knows: its engine by its socket, which is root's, its supervisor by the telemetry port. */
export async function askRunningAgent({ runDir, telemetry }: Config): Promise<RunningAgent> {
  const hidden = await isHidden(engineSocketPath(runDir));
  const [status, engine, peers] = await Promise.all([
    askTelemetry<NodeStatus>(telemetry, '/api/status'),
    hidden ? undefined : fromEngine(runDir, 'snapshot').catch(reasonOf),
    hidden ? undefined : fromEngine(runDir, 'peers').catch(() => undefined),
  ]);
  const snapshot: EngineSnapshot | undefined = typeof engine === 'object' ? engine : status?.engine;
  const known: readonly PeerView[] | undefined =
    peers ?? (hidden ? await askTelemetry<readonly PeerView[]>(telemetry, '/api/peers') : undefined);
  return {
    ...(status && { status }),
    ...(snapshot && { engine: snapshot }),
    ...(typeof engine === 'string' && snapshot === undefined && { failure: engine }),
    hidden,
    peers: known ?? [],
  };
}

async function isHidden(socket: string): Promise<boolean> {
  return access(socket, constants.W_OK).then(() => false, isRefused);
}
