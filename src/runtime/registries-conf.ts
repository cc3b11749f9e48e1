import path from 'node:path';
import { pathOfRegistry } from '../config/path-registry.ts';
import { lookAtText, namesIn, readText } from './files.ts';
import { isTable, parseToml } from './toml.ts';
import { type FileChange, type Plan, RuntimeConfigError } from './types.ts';

/** A registry as it stands in image references. */
export interface AcceleratedRegistry {
  readonly host: string;
  /** The registry itself speaks http. */
  readonly plainHttp: boolean;
}

/** Registries that most clusters pull from. registries.conf has no way to say "every registry". */
export const commonRegistries: readonly string[] = [
  'docker.io',
  'quay.io',
  'ghcr.io',
  'gcr.io',
  'registry.k8s.io',
  'mcr.microsoft.com',
  'public.ecr.aws',
];

const folder = '/etc/containers';
const dropIn = path.join(folder, 'registries.conf.d/shoal.conf');
const firstLine = '# Written by `shoal runtime configure`; `shoal runtime configure --undo` removes the file.\n';
const consequence = 'CRI-O and podman refuse to pull with it. Mend it, then run this again';

/** What makes CRI-O and podman ask Shoal first, for the registries that are named. */
export async function planRegistriesConf(
  root: string,
  port: number,
  registries: readonly AcceleratedRegistry[],
): Promise<Plan> {
  const found = await readOwn(root);
  const claimed = await claimedPrefixes(root);
  const free = registries.filter(({ host }) => !claimed.has(host));
  const change: FileChange = {
    path: path.join(root, dropIn),
    before: found?.text,
    after: renderDropIn(port, free),
    modeBefore: found?.mode,
    // Rootless podman reads it, too; there is no secret in it.
    mode: 0o644,
    emptyFolders: 0,
  };
  const notes = registries.flatMap(({ host }) => {
    const file = claimed.get(host);
    return file
      ? [`${host} is not accelerated, because ${file} has a [[registry]] for it and one would replace the other`]
      : [];
  });
  for (const [prefix, file] of claimed) {
    const host = free.find((registry) => prefix.startsWith(`${registry.host}/`));
    if (host) notes.push(`${prefix} is not accelerated, because ${file} has a [[registry]] for it`);
  }
  notes.push(`accelerated: ${free.map(({ host }) => host).join(', ') || 'no registry'}; others need --registry <host>`);
  return { changes: [change], notes, todo: [] };
}

/** Removes the drop-in. */
export async function planRegistriesConfUndo(root: string): Promise<Plan> {
  const found = await readOwn(root);
  if (!found) return { changes: [], notes: [`${dropIn} is not there: nothing to undo`], todo: [] };
  const { text, mode } = found;
  const change = {
    path: path.join(root, dropIn),
    before: text,
    after: undefined,
    modeBefore: mode,
    mode,
    emptyFolders: 0,
  };
  return { changes: [change], notes: [], todo: [] };
}

/**
 * The drop-in. containers/image sends no `ns`, so the registry goes into the mirror's path; that is why a wildcard
 * prefix (`*.example.com`) can't be used: what the star stood for would be lost.
 */
export function renderDropIn(port: number, registries: readonly AcceleratedRegistry[]): string {
  const tables = registries.map(({ host, plainHttp }) =>
    [
      '',
      '[[registry]]',
      `prefix = "${host}"`,
      `location = "${host}"`,
      ...(plainHttp ? ['insecure = true'] : []),
      '[[registry.mirror]]',
      `location = "127.0.0.1:${port}/${pathOfRegistry(host)}"`,
      'insecure = true',
      '',
    ].join('\n'),
  );
  return firstLine + tables.join('');
}

/**
 * Gives `host` back. Throws a `RuntimeConfigError` when it can't be a registry's name in an image reference (one has a dot
 * or a port, or is localhost) or in the mirror's path (no capitals there).
 */
export function checkRegistryHost(host: string): string {
  if (/^[a-z0-9]+((\.|-+)[a-z0-9]+)*(:\d{1,5})?$/.test(host) && (/[.:]/.test(host) || host === 'localhost'))
    return host;
  const reason = host.includes('*')
    ? 'registries.conf can send a wildcard only to one fixed path, where the name that the star stood for is lost. Name each registry'
    : 'write it as in an image reference, host or host:port, in small letters and without a scheme or a path';
  throw new RuntimeConfigError(`registry ${host}: ${reason}`);
}

async function readOwn(root: string): Promise<{ text: string; mode: number } | undefined> {
  const found = await readText(path.join(root, dropIn));
  if (found && !found.text.startsWith(firstLine)) {
    throw new RuntimeConfigError(`${dropIn} was not written by Shoal. Move it elsewhere, then run this again`);
  }
  return found;
}

/** The prefixes that the administrator's files have a [[registry]] for, each with its file. */
async function claimedPrefixes(root: string): Promise<ReadonlyMap<string, string>> {
  const dropIns = path.dirname(dropIn);
  const names = await namesIn(path.join(root, dropIns), 'files');
  const files = [
    path.join(folder, 'registries.conf'),
    ...names.map((name) => path.join(dropIns, name)).filter((file) => file.endsWith('.conf') && file !== dropIn),
  ];
  const claimed = new Map<string, string>();
  for (const file of files) {
    const text = await lookAtText(path.join(root, file));
    if (text === undefined) continue;
    const table = parseToml(file, text, consequence);
    if (isTable(table.registries)) {
      throw new RuntimeConfigError(
        `${file} is in the first version's format ([registries.search] …), which CRI-O and podman don't mix with drop-ins. Bring it to the second, containers-registries.conf(5)`,
      );
    }
    for (const registry of Array.isArray(table.registry) ? table.registry : []) {
      const prefix = isTable(registry) ? registry.prefix || registry.location : undefined;
      if (typeof prefix === 'string') claimed.set(prefix, file);
    }
  }
  return claimed;
}
