import path from 'node:path';
import { type ConfigureReport, configureRuntime } from '../runtime/configure.ts';
import type { Runtime } from '../runtime/types.ts';
import { type ConfigOptions, loadFromOptions } from './config-options.ts';
import { UsageError } from './exit-codes.ts';
import { type OutputFormat, print } from './output.ts';

interface Options extends ConfigOptions {
  readonly runtime: Runtime;
  readonly undo?: true;
  readonly dryRun?: true;
  readonly root: string;
  readonly configPath?: string;
  readonly containerdConfig: string;
  readonly registry?: readonly string[];
  readonly output: OutputFormat;
}

/** `shoal runtime configure`. */
export async function configure(options: Options): Promise<void> {
  if (options.runtime === 'containerd' && options.registry) {
    throw new UsageError('--registry is for crio and podman: containerd asks Shoal for every registry');
  }
  if (options.runtime !== 'containerd' && options.configPath !== undefined) {
    throw new UsageError(`--config-path is for containerd: ${options.runtime} has its drop-ins in /etc/containers`);
  }
  const { config } = await loadFromOptions(options);
  const report = await configureRuntime(config, {
    runtime: options.runtime,
    undo: options.undo ?? false,
    dryRun: options.dryRun ?? false,
    root: path.resolve(options.root),
    ...(options.configPath === undefined ? {} : { configPath: options.configPath }),
    containerdConfig: options.containerdConfig,
    registries: options.registry ?? [],
  });
  print(options.output, describe(report), report);
}

function describe({ changes, notes, todo, dryRun }: ConfigureReport): string {
  const done = { write: dryRun ? 'would write' : 'wrote', remove: dryRun ? 'would remove' : 'removed' };
  return [
    ...changes.flatMap(({ path: file, action, diff }) => [`${done[action]} ${file}`, ...(dryRun ? [diff] : [])]),
    ...(changes.length === 0 ? ['nothing to change'] : []),
    ...notes.map((note) => `note: ${note}`),
    ...todo.map((task) => `to do: ${task}`),
  ].join('\n');
}
