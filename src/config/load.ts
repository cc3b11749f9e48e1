import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { maxConfigBytes, parseConfigDocument } from './document.ts';
import { ConfigError } from './errors.ts';
import { findingsOf } from './findings.ts';
import type { ConfigKey } from './keys.ts';
import { type Config, configSchema } from './schema.ts';
import { type Setting, settingsFromEnvironment, settingsFromFlags } from './settings.ts';

/** Read when no file is named; it need not exist. */
export const defaultConfigFile = '/etc/shoal/config.yaml';

export interface ConfigSources {
  /** The file that `--config` names. Default: SHOAL_CONFIG, then `defaultConfigFile`. */
  readonly file?: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** `key=value`, in the order of the command line. */
  readonly set?: readonly string[];
}

export interface LoadedConfig {
  readonly config: Config;
  /** The file that was read; undefined when there was none. */
  readonly file: string | undefined;
  /** Where a key's value comes from: `default`, `file:line:column`, an environment variable or a flag. */
  originOf(key: ConfigKey): string;
}

/**
 * The configuration: defaults, the file over them, the environment over that, flags over all. Throws a `ConfigError`
 * with everything that is wrong.
 */
export async function loadConfig(sources: ConfigSources): Promise<LoadedConfig> {
  const named = sources.file ?? (sources.env.SHOAL_CONFIG || undefined);
  const file = named ?? defaultConfigFile;
  const text = await readConfigFile(file);
  if (text === undefined && named !== undefined) {
    const by = sources.file === undefined ? 'SHOAL_CONFIG' : '--config';
    throw new ConfigError([{ where: file, key: '', message: `does not exist, but ${by} names it` }]);
  }
  return resolveConfig({ ...sources, document: text === undefined ? undefined : { file, text } });
}

/** `loadConfig` without the disk. */
export function resolveConfig(sources: {
  readonly document?: { readonly file: string; readonly text: string } | undefined;
  readonly env: ConfigSources['env'];
  readonly set?: readonly string[];
}): LoadedConfig {
  const file = sources.document?.file;
  const document = parseConfigDocument(file ?? defaultConfigFile, sources.document?.text ?? '');
  const fromEnvironment = settingsFromEnvironment(sources.env);
  const fromFlags = settingsFromFlags(sources.set ?? []);
  const overlay = new Map<string, Setting>();
  for (const setting of [...fromEnvironment.settings, ...fromFlags.settings]) overlay.set(setting.key.name, setting);

  const overlaid = (path: readonly PropertyKey[]): string | undefined =>
    [...overlay.values()].find(({ key }) => key.path.every((segment, index) => segment === path[index]))?.where;
  const tree = [...overlay.values()].reduce<unknown>(
    (node, { key, value }) => withValue(node, key.path, value),
    document.tree,
  );
  const checked = configSchema.safeParse(tree);
  const findings = [
    ...document.findings,
    ...fromEnvironment.findings,
    ...fromFlags.findings,
    ...findingsOf(checked.error?.issues ?? [], tree, (path, part) => overlaid(path) ?? document.locate(path, part)),
  ];
  if (findings.length > 0 || !checked.success) {
    throw new ConfigError(findings.toSorted((a, b) => a.where.localeCompare(b.where, 'en', { numeric: true })));
  }
  return {
    config: checked.data,
    file,
    originOf: ({ path }) => overlaid(path) ?? (document.has(path) ? document.locate(path, 'value') : 'default'),
  };
}

/** A copy of `node` with `value` at `path`; what is not a section stays as it is, so that the schema refuses it. */
function withValue(node: unknown, path: readonly string[], value: unknown): unknown {
  const [segment, ...rest] = path;
  if (segment === undefined) return value;
  if (node !== undefined && (typeof node !== 'object' || node === null || Array.isArray(node))) return node;
  const section: Readonly<Record<string, unknown>> = { ...node };
  return { ...section, [segment]: withValue(section[segment], rest, value) };
}

async function readConfigFile(file: string): Promise<string | undefined> {
  const problem = (message: string): ConfigError => new ConfigError([{ where: file, key: '', message }]);
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    // O_NONBLOCK: a FIFO must not hold the start up.
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw problem(`can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw problem('is not a plain file');
    if (stat.size > maxConfigBytes) throw problem(`is larger than a configuration may be: ${maxConfigBytes} bytes`);
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}
