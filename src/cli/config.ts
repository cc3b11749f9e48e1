import { ConfigError, formatFinding } from '../config/errors.ts';
import { configJsonSchema, configKeys } from '../config/keys.ts';
import { printConfig } from '../config/print.ts';
import { type ConfigOptions, loadFromOptions } from './config-options.ts';
import { exitCodes } from './exit-codes.ts';
import { type OutputFormat, print } from './output.ts';

type Options = ConfigOptions & { readonly output: OutputFormat };

/** `shoal config check`: what is wrong, on standard output because it is the result that was asked for. */
export async function check(options: Options): Promise<void> {
  try {
    const { file } = await loadFromOptions(options);
    print(options.output, `ok: ${file ?? 'no file, defaults'}`, { ok: true, file: file ?? null, findings: [] });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    print(options.output, error.findings.map(formatFinding).join('\n'), { ok: false, findings: error.findings });
    process.exitCode = exitCodes.config;
  }
}

/** `shoal config print`: the effective values and where each one comes from. */
export async function printEffective(options: Options): Promise<void> {
  const loaded = await loadFromOptions(options);
  print(options.output, printConfig(loaded), {
    file: loaded.file ?? null,
    config: loaded.config,
    origins: Object.fromEntries(configKeys.map((key) => [key.name, loaded.originOf(key)])),
  });
}

/** `shoal config schema`: for editors and for checks before a rollout. */
export function printSchema(): void {
  print('json', '', configJsonSchema);
}
