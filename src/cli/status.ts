import type { EngineSnapshot } from '../agent/observation.ts';
import type { NodeStatus } from '../agent/telemetry.ts';
import type { Config } from '../config/schema.ts';
import { packageVersion } from '../paths.ts';
import type { BytesBySource } from '../pull/observer.ts';
import type { StoreStat } from '../store/types.ts';
import type { SwarmStat } from '../swarm/stat.ts';
import { isReady } from '../telemetry/conditions.ts';
import { formatBytes, formatMs, formatShare } from '../units.ts';
import { type ConfigOptions, loadFromOptions } from './config-options.ts';
import { exitCodes } from './exit-codes.ts';
import { formatTable } from './format.ts';
import { type OutputFormat, print } from './output.ts';
import { fromEngine } from './running-engine.ts';
import { allBytes, avoidedBytes, describeShares } from './sources.ts';
import { styled } from './style.ts';
import { askTelemetry } from './telemetry-port.ts';

/** `shoal status`: exits with 1 when pulls are not accelerated. */
export async function status(options: ConfigOptions & { readonly output: OutputFormat }): Promise<void> {
  const { config } = await loadFromOptions(options);
  // The supervisor answers also while the engine is away; where its port is not served the engine's socket tells.
  const view = (await askTelemetry<NodeStatus>(config.telemetry, '/api/status')) ?? (await withoutSupervisor(config));
  print(options.output, describeStatus(view, Date.now()), view);
  if (!view.ready) process.exitCode = exitCodes.failed;
}

async function withoutSupervisor({ runDir }: Config): Promise<NodeStatus> {
  const engine = await fromEngine(runDir, 'snapshot');
  return {
    version: packageVersion(),
    node: process.version,
    processes: { engine: engine.process },
    engine,
    conditions: engine.conditions,
    ready: isReady(engine.conditions),
  };
}

/** What `shoal status` prints. `now`: milliseconds since the epoch. */
export function describeStatus(view: NodeStatus, now: number): string {
  const { version, ready, engine, conditions } = view;
  const state = ready ? styled('green', 'ready') : styled('red', 'not ready');
  const bad = conditions.filter(({ state }) => state !== 'ok');
  const rows = [
    ...(engine ? [['engine', `up ${formatMs(now - engine.process.startedAt * 1000)}${restarts(view)}`]] : []),
    ...(view.supervisor ? [['pulls', describePulls(view)]] : []),
    ...(engine ? engineRows(engine) : []),
  ];
  const findings = bad.map(
    ({ name, state, reason, since }) =>
      `${styled(state === 'failed' ? 'red' : 'yellow', state)}: ${name}, since ${since}${reason ? `: ${reason}` : ''}`,
  );
  return [`shoal ${version}: ${state}`, formatTable(rows), ...findings].filter(Boolean).join('\n');
}

function restarts({ supervisor }: NodeStatus): string {
  const { restarts: count = 0, lastEnd = '' } = supervisor?.engine ?? {};
  return count === 0 ? '' : `, restarted ${count === 1 ? 'once' : `${count} times`}, last after ${lastEnd}`;
}

function describePulls({ supervisor, engine }: NodeStatus): string {
  const sum = (matches: (pull: { result: string; accelerated: boolean }) => boolean) =>
    (supervisor?.pulls ?? []).filter(matches).reduce((total, { count }) => total + count, 0);
  return [
    `${engine?.pulls?.active ?? 0} under way`,
    `${sum(({ result, accelerated }) => accelerated && result === 'ok')} ok`,
    `${sum(({ result }) => result === 'failed')} failed`,
    `${sum(({ result }) => result === 'cancelled')} cancelled`,
    `${sum(({ accelerated }) => !accelerated)} not accelerated`,
  ].join(', ');
}

function engineRows(engine: EngineSnapshot): string[][] {
  const { pulls, store, swarm } = engine;
  return [
    ...(pulls ? byteRows(pulls.bytes) : []),
    ...(store ? cacheRows(store) : []),
    ...(swarm ? swarmRows(swarm) : []),
    ['checks', describeChecks(engine)],
  ];
}

/** What the checks of content found: none of it was handed out. */
function describeChecks({ pulls, store, swarm }: EngineSnapshot): string {
  const wrong = [
    [pulls?.mismatches ?? 0, 'whole blobs'],
    [store?.corrupt ?? 0, 'pieces on the disk'],
    [swarm?.failures.corrupt ?? 0, 'pieces from peers'],
  ] as const;
  const found = wrong.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  return found.length === 0 ? 'no wrong bytes' : `wrong bytes in ${found.join(', ')}: not handed out, fetched again`;
}

function byteRows(bytes: BytesBySource): string[][] {
  const all = allBytes(bytes);
  return [
    ['bytes', all === 0 ? 'none yet' : `${formatBytes(all)}: ${describeShares(bytes)}`],
    ['avoided', `${formatBytes(avoidedBytes(bytes))} of registry traffic`],
  ];
}

function cacheRows({ memory, disk, pieces, blobs, hits, misses }: StoreStat): string[][] {
  const found = hits.memory + hits.disk;
  const tier = (used: number, capacity: number) => `${formatBytes(used)} of ${formatBytes(capacity)}`;
  return [
    ['memory', `${tier(memory.used, memory.capacity)}, ${formatBytes(memory.dirty)} not on the disk yet`],
    ...(disk ? [['disk', `${tier(disk.used, disk.capacity)} (${disk.engine})`]] : []),
    ['cache', `${pieces} pieces of ${blobs} blobs, ${formatShare(found, found + misses)} of reads found`],
  ];
}

function swarmRows({ members, suspects, upload }: SwarmStat): string[][] {
  return [['swarm', `${members} nodes, ${suspects} of them out of reach; ${formatBytes(upload.bytes)} sent to others`]];
}
