import type { Command } from 'commander';
import type { LoadedConfig } from '../config/load.ts';

/** The options of every command that reads the configuration. */
export interface ConfigOptions {
  readonly config?: string;
  readonly set?: readonly string[];
}

export function withConfigOptions(command: Command): Command {
  return command
    .option('--config <file>', 'the configuration file (default: $SHOAL_CONFIG, then /etc/shoal/config.yaml)')
    .option('--set <key=value>', 'a value over file and environment; repeat for more', collect);
}

/** For options that may be repeated. */
export function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}

/** Loads the configuration that the options, the variables and the file make up. Throws a `ConfigError`. */
export async function loadFromOptions(
  options: ConfigOptions,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<LoadedConfig> {
  const { loadConfig } = await import('../config/load.ts');
  return loadConfig({
    ...(options.config === undefined ? {} : { file: options.config }),
    ...(options.set === undefined ? {} : { set: options.set }),
    env,
  });
}
