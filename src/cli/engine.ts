import { createReadStream } from 'node:fs';
import { runEngine } from '../agent/engine.ts';
import { readHandedConfig } from '../config/handover.ts';
import type { Config } from '../config/schema.ts';
import { createLogger } from '../telemetry/log.ts';
import { type ConfigOptions, loadFromOptions } from './config-options.ts';

/** `shoal engine`: started by the supervisor, which hands the configuration on through `configFd`. */
export async function engine(options: ConfigOptions & { readonly configFd?: number }): Promise<void> {
  const config = await configOf(options);
  try {
    await runEngine(config, createLogger({ name: 'shoal-engine', level: config.log.level }));
  } finally {
    // The supervisor's pipe, which runEngine listens to, would keep the process alive until the supervisor is gone.
    process.stdin.destroy();
  }
}

async function configOf(options: ConfigOptions & { readonly configFd?: number }): Promise<Config> {
  if (options.configFd === undefined) return (await loadFromOptions(options)).config;
  return readHandedConfig(createReadStream('', { fd: options.configFd }));
}
