import { runBridge } from '../agent/bridge.ts';
import { runSupervisor } from '../agent/supervisor.ts';
import { serializeConfig } from '../config/handover.ts';
import { createLogger } from '../telemetry/log.ts';
import { type ConfigOptions, loadFromOptions } from './config-options.ts';

export interface AgentOptions extends ConfigOptions {
  readonly listen?: string;
  readonly runtimeEndpoint?: string;
  readonly logLevel?: string;
  readonly bridge?: true;
}

/** The descriptor through which the engine gets its configuration, see `EngineCommand.handover`. */
const handoverFd = 3;

/** `shoal agent`: serves the CRI socket and keeps an engine running beside it, until SIGTERM or SIGINT. */
export async function agent(options: AgentOptions): Promise<void> {
  const { config } = await loadFromOptions({ ...options, set: [...(options.set ?? []), ...shorthands(options)] });
  const stop = new AbortController();
  // Once: a second Ctrl-C ends the process without waiting for calls in flight.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
  const common = {
    listen: config.listen,
    runtimeEndpoint: config.runtimeEndpoint,
    runDir: config.runDir,
    environment: process.env,
    log: createLogger({ name: options.bridge ? 'shoal-bridge' : 'shoal-agent', level: config.log.level }),
    stop: stop.signal,
  };
  if (options.bridge) return runBridge(common);
  await runSupervisor({
    ...common,
    telemetry: config.telemetry,
    engine: {
      command: process.execPath,
      args: [...process.execArgv, process.argv[1] ?? '', 'engine', '--config-fd', String(handoverFd)],
      handover: serializeConfig(config),
    },
  });
}

/** `--listen x` is short for `--set listen=x`. */
function shorthands({ listen, runtimeEndpoint, logLevel }: AgentOptions): string[] {
  const values = { listen, runtimeEndpoint, 'log.level': logLevel };
  return Object.entries(values).flatMap(([key, value]) => (value === undefined ? [] : `${key}=${value}`));
}
