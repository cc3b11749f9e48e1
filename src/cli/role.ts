import type { Config } from '../config/schema.ts';
import { createLogger, type Logger } from '../telemetry/log.ts';
import { type ConfigOptions, loadFromOptions } from './config-options.ts';

/** `shoal mirror`, `shoal scheduler`: run until SIGTERM or SIGINT. */
export async function role(name: 'mirror' | 'scheduler', options: ConfigOptions): Promise<void> {
  const { config } = await loadFromOptions(options);
  await (await runnerOf(name))(config, createLogger({ name: `shoal-${name}`, level: config.log.level }));
}

async function runnerOf(name: 'mirror' | 'scheduler'): Promise<(config: Config, log: Logger) => Promise<void>> {
  if (name === 'mirror') return (await import('../agent/mirror-role.ts')).runMirror;
  return (await import('../agent/scheduler-role.ts')).runScheduler;
}
