import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { lookAtText, namesIn } from './files.ts';
import { parseToml, tomlAt } from './toml.ts';

/** What containerd's own configuration says about registries. */
export interface RegistryConfig {
  /** Folders with `<host>/hosts.toml`, in containerd's order; undefined when containerd reads none. */
  readonly configPath: readonly string[] | undefined;
  /** Whether registry.mirrors or registry.configs is set: containerd refuses these together with config_path. */
  readonly inlineRegistries: boolean;
  readonly fileExists: boolean;
  /** Whether the table that config_path belongs to is there already. */
  readonly tableExists: boolean;
  /** The version of the tables that config_path belongs to: 1, 2, 3. */
  readonly version: number;
  /** The file is of a version from which this containerd reads nothing about registries. */
  readonly outdated: boolean;
}

export const defaultConfigPath = '/etc/containerd/certs.d';

/** Where the CRI plugin's registry settings are, by the version of the configuration. */
const tablePaths: readonly (readonly [version: number, path: readonly string[]])[] = [
  [3, ['plugins', 'io.containerd.cri.v1.images', 'registry']],
  [2, ['plugins', 'io.containerd.grpc.v1.cri', 'registry']],
  [1, ['plugins', 'cri', 'registry']],
];

/** More than any installation has; a glob must not make this read a whole disk. */
const maxImports = 100;
const dumpTimeoutMs = 10_000;
const consequence = 'containerd does not start with it. Mend it, then run this again';

/**
 * Reads containerd's configuration: as `containerd config dump` shows it (imports and the version's defaults included)
 * or, where that binary is not at hand or the system is not the running one (`root`), from the file and its imports.
 */
export async function readRegistryConfig(root: string, file: string): Promise<RegistryConfig> {
  const own = await lookAtText(path.join(root, file));
  const main = own === undefined ? {} : parseToml(file, own, consequence);
  const dump = root === '/' ? await dumpConfig(file) : undefined;
  return registryConfigOf({
    main: own === undefined ? undefined : main,
    imports: await readImports(root, file, main),
    dump: dump === undefined ? undefined : parseToml('containerd config dump', dump, consequence),
  });
}

/** What is known about a configuration, parsed; `main` is undefined when there is no file, `dump` when there was no containerd. */
export interface ConfigSources {
  readonly main: unknown;
  readonly imports: readonly unknown[];
  readonly dump: unknown;
}

/** Decides which source counts. */
export function registryConfigOf({ main, imports, dump }: ConfigSources): RegistryConfig {
  const fileVersion = main === undefined ? 2 : Number(tomlAt(main, 'version') ?? 1);
  const dumpVersion = Number(tomlAt(dump, 'version') ?? 0);
  // A containerd that doesn't know the file's version yet is not the one that runs with it: 1.6 drops, silently, every
  // setting in version 3's tables.
  const settings = registrySettings(dumpVersion >= fileVersion ? [dump] : [main, ...imports]);
  // containerd 2 still starts with version 1, but does not look into its tables.
  const outdated = fileVersion === 1 && dumpVersion >= 3;
  const version = outdated ? 2 : fileVersion;
  const tableExists = tomlAt(main, ...registryTable(version)) !== undefined;
  return { ...settings, fileExists: main !== undefined, tableExists, version, outdated };
}

/** The registry settings of a configuration and its imports; what comes later wins. */
export function registrySettings(sources: readonly unknown[]): Pick<RegistryConfig, 'configPath' | 'inlineRegistries'> {
  let configPath: readonly string[] | undefined;
  let inlineRegistries = false;
  for (const source of sources) {
    for (const [, table] of tablePaths) {
      const value = tomlAt(source, ...table, 'config_path');
      if (typeof value === 'string' && value !== '') configPath = value.split(':').filter((folder) => folder !== '');
      for (const key of ['mirrors', 'configs']) {
        if (Object.keys(tomlAt(source, ...table, key) ?? {}).length > 0) inlineRegistries = true;
      }
    }
  }
  return { configPath, inlineRegistries };
}

/** What to write where, so that containerd reads `folder`. */
export function configPathAdvice(file: string, config: RegistryConfig, folder: string): string {
  const table = registryTable(config.version)
    .map((key) => (/^[\w-]+$/.test(key) ? key : `"${key}"`))
    .join('.');
  const setting = `config_path = "${folder}"`;
  const present = config.configPath?.join(':');
  const state = present === undefined ? `is not set in ${file}` : `is "${present}"`;
  // A file without a version is one of version 1.
  const head = config.fileExists ? '' : `  version = ${config.version}\n`;
  const lines =
    present !== undefined || config.tableExists
      ? `${present === undefined ? 'put this line into' : 'change it, in'} the table [${table}]:\n  ${setting}`
      : `add these lines:\n${head}  [${table}]\n    ${setting}`;
  const upgrade = config.outdated
    ? ' containerd 2 reads nothing about registries from a configuration of version 1, which is one without a version: put "version = 2" at its top first, and give its plugins\' tables the names of that version.'
    : '';
  const first = config.inlineRegistries
    ? ` Its registry.mirrors and registry.configs have to move to ${folder}/<host>/hosts.toml first: containerd refuses both together.`
    : '';
  return `containerd does not read ${folder}: config_path ${state}.${upgrade}${first} In ${file}, ${lines}\nthen restart containerd, once`;
}

function registryTable(version: number): readonly string[] {
  const found = tablePaths.find(([from]) => version >= from);
  return found ? found[1] : ['plugins', 'cri', 'registry'];
}

async function dumpConfig(file: string): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)('containerd', ['--config', file, 'config', 'dump'], {
      timeout: dumpTimeoutMs,
      maxBuffer: 4 * 1024 * 1024,
    });
    return stdout;
  } catch {
    // Not installed, not on the PATH, or too old to know the command: the files themselves have to do.
    return undefined;
  }
}

/** `imports` are paths or globs in the last part, relative to the file that names them. */
async function readImports(root: string, file: string, main: unknown): Promise<unknown[]> {
  const imports = tomlAt(main, 'imports');
  const patterns = Array.isArray(imports) ? imports.filter((entry) => typeof entry === 'string') : [];
  const files: string[] = [];
  for (const pattern of patterns) {
    const absolute = path.resolve(path.dirname(file), pattern);
    if (!pattern.includes('*')) {
      files.push(absolute);
      continue;
    }
    const folder = path.dirname(absolute);
    const names = await namesIn(path.join(root, folder), 'files');
    files.push(...names.map((name) => path.join(folder, name)).filter((name) => path.matchesGlob(name, absolute)));
  }
  const sources: unknown[] = [];
  for (const imported of files.slice(0, maxImports)) {
    const text = await lookAtText(path.join(root, imported));
    if (text !== undefined) sources.push(parseToml(imported, text, consequence));
  }
  return sources;
}
