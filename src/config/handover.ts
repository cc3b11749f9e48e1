import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { type Config, configSchema } from './schema.ts';

/**
 * The supervisor reads file, environment and flags once and hands the result to its engine through a pipe: both always
 * work with the same values, and a file that is edited meanwhile takes effect at the agent's next start.
 */
export function serializeConfig(config: Config): string {
  return JSON.stringify(config);
}

/** Reads what `serializeConfig` wrote, to the end of the stream. Throws when it is not a configuration. */
export async function readHandedConfig(input: Readable): Promise<Config> {
  return configSchema.parse(JSON.parse(await text(input)));
}
