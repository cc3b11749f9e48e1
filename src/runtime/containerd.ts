import path from 'node:path';
import { configPathAdvice, defaultConfigPath, readRegistryConfig } from './containerd-config.ts';
import { missingFolders, namesIn, readText } from './files.ts';
import { addMirror, type MirrorBlock, mirrorUrl, removeMirror } from './hosts-toml.ts';
import { parseToml, tomlAt } from './toml.ts';
import type { FileChange, Plan } from './types.ts';

export interface ContainerdOptions {
  /** The system's root folder; `/`, or where another one is mounted. */
  readonly root: string;
  /** The folder with `<host>/hosts.toml`; what containerd's configuration says when absent. */
  readonly configPath?: string;
  /** containerd's configuration. */
  readonly configFile: string;
}

/** hosts.toml carries the loopback secret: for root alone. */
const fileMode = 0o600;
const defaultHost = '_default';

/** What makes containerd ask Shoal first, for every registry that has no folder of its own. */
export async function planContainerd(options: ContainerdOptions, block: MirrorBlock): Promise<Plan> {
  const { root } = options;
  const containerd = await readRegistryConfig(root, options.configFile);
  const folders = options.configPath?.split(':') ?? containerd.configPath ?? [defaultConfigPath];
  const chosen = await chooseFolder(root, folders);
  const file = path.join(chosen, defaultHost, 'hosts.toml');
  const target = path.join(root, file);
  const found = await readText(target);
  const without = found && removeMirror(file, found.text);
  const origin = without?.origin ?? { mode: found?.mode, folders: found ? 0 : await missingFolders(target) };
  const theirs = without?.text ?? found?.text ?? '';
  const after = addMirror(file, theirs, block, origin);
  const change: FileChange = {
    path: target,
    before: found?.text,
    after,
    modeBefore: found?.mode,
    mode: fileMode,
    emptyFolders: 0,
  };
  return {
    changes: [change],
    notes: [...notesOnDefaults(file, theirs), ...(await notesOnFolders(root, folders, block.port))],
    todo: containerd.configPath?.includes(chosen)
      ? []
      : [configPathAdvice(options.configFile, containerd, folders.join(':'))],
  };
}

/** Takes Shoal's block out of every `_default/hosts.toml` that containerd reads. */
export async function planContainerdUndo(options: ContainerdOptions): Promise<Plan> {
  const { root } = options;
  const named = options.configPath?.split(':');
  const folders = named ?? (await readRegistryConfig(root, options.configFile)).configPath ?? [defaultConfigPath];
  const changes: FileChange[] = [];
  for (const folder of folders) {
    const file = path.join(folder, defaultHost, 'hosts.toml');
    const found = await readText(path.join(root, file));
    const without = found && removeMirror(file, found.text);
    if (!without) continue;
    const { mode, folders } = without.origin;
    const ownFile = mode === undefined && without.text === '';
    changes.push({
      path: path.join(root, file),
      before: found.text,
      after: ownFile ? undefined : without.text,
      modeBefore: found.mode,
      mode: mode ?? found.mode,
      emptyFolders: folders,
    });
  }
  return {
    changes,
    notes: changes.length === 0 ? ['nothing of Shoal in the configuration of containerd'] : [],
    todo: [],
  };
}

/**
 * containerd goes through the folders of config_path one by one, and a `_default` in one of them hides the hosts of all
 * that follow. So: the first that has a `_default` already, else the first behind which no host has a folder.
 */
async function chooseFolder(root: string, folders: readonly string[]): Promise<string> {
  const hosts = await Promise.all(folders.map((folder) => namesIn(path.join(root, folder), 'folders')));
  const withDefault = hosts.findIndex((names) => names.includes(defaultHost));
  const lastWithHosts = hosts.findLastIndex((names) => names.length > 0);
  return folders[withDefault === -1 ? Math.max(0, lastWithHosts) : withDefault] ?? defaultConfigPath;
}

function notesOnDefaults(file: string, theirs: string): string[] {
  const table = parseToml(file, theirs, '');
  const server = tomlAt(table, 'server');
  const names = [...Object.keys(tomlAt(table, 'host') ?? {}), ...(typeof server === 'string' ? [server] : [])];
  if (names.length === 0) return [];
  return [
    `${file} already sends containerd to ${names.join(', ')}. Shoal now comes first and fetches from the registry itself, not from there; it is asked where Shoal has no answer`,
  ];
}

async function notesOnFolders(root: string, folders: readonly string[], port: number): Promise<string[]> {
  const notes: string[] = [];
  for (const folder of folders) {
    for (const host of await namesIn(path.join(root, folder), 'folders')) {
      if (host === defaultHost) continue;
      notes.push(
        `${host} is not accelerated, because containerd goes by ${path.join(folder, host)} for it and not by ${defaultHost} (unless that names ${mirrorUrl(port)})`,
      );
    }
  }
  return notes;
}
