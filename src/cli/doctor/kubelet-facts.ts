import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'yaml';
import { codeOf, reasonOf } from './findings.ts';
import { flag } from './flags.ts';
import { listProcesses, readBelow, type SeenProcess, startedAt } from './proc.ts';

/** How the kubelet comes to its image endpoint. */
export type KubeletKind = 'kubelet' | 'k3s' | 'rke2';

/** A file that may name the image endpoint. */
export interface KubeletFile {
  readonly file: string;
  readonly imageEndpoint?: string;
  readonly runtimeEndpoint?: string;
  /** Milliseconds since the epoch. */
  readonly changedAt?: number;
  /** k3s, RKE2: its arguments take the place of those of the files before it. */
  readonly replaces?: true;
  /** It can't be read, or means nothing. */
  readonly problem?: string;
}

type Endpoints = Pick<KubeletFile, 'imageEndpoint' | 'runtimeEndpoint' | 'replaces'>;

export interface KubeletFacts {
  /** Absent when none runs here that this user sees. */
  readonly running?: {
    readonly kind: KubeletKind;
    readonly pid: number;
    readonly imageEndpoint?: string;
    readonly runtimeEndpoint?: string;
    readonly startedAt?: number;
  };
  readonly kind: KubeletKind;
  /** Those that are there, the one that counts most last. */
  readonly files: readonly KubeletFile[];
  /** Files that become flags at the kubelet's next start (KUBELET_EXTRA_ARGS). */
  readonly flagFiles: readonly KubeletFile[];
  /** Shoal was installed with `--kubelet none`: for its mirror alone. */
  readonly mirrorAlone: boolean;
}

const imageFlag = 'image-service-endpoint';
const runtimeFlag = 'container-runtime-endpoint';
export const kubeadmConfig = '/var/lib/kubelet/config.yaml';
const environmentFiles = ['/etc/default/kubelet', '/etc/sysconfig/kubelet'];
const bootstrapState = '/opt/shoal/state';

/** Looks at the kubelet that runs, or, where none does, at the files that one would read. */
export async function readKubelet(root: string): Promise<KubeletFacts> {
  const process = findKubelet(await listProcesses(root));
  const kind = process?.kind ?? (await kindByFolders(root));
  const [files, flagFiles, mirrorAlone] = await Promise.all([
    kind === 'kubelet' ? kubeletFiles(root, process?.args) : rancherFiles(root, kind),
    kind === 'kubelet' ? readAll(root, environmentFiles, fromEnvironmentFile) : [],
    isMirrorAlone(root),
  ]);
  const began = process && (await startedAt(root, process.pid));
  return {
    ...(process && {
      running: {
        kind: process.kind,
        pid: process.pid,
        ...endpoints(flag(process.args, imageFlag), flag(process.args, runtimeFlag)),
        ...(began !== undefined && { startedAt: began }),
      },
    }),
    kind,
    files,
    flagFiles,
    mirrorAlone,
  };
}

/** The kubelet among the processes: its own, or k3s, which has it inside. RKE2 starts one of its own, with flags. */
export function findKubelet(
  processes: readonly SeenProcess[],
): (SeenProcess & { readonly kind: KubeletKind }) | undefined {
  const base = ({ args }: SeenProcess) => path.basename(args[0] ?? '');
  const own = processes.find(
    (each) => base(each) === 'kubelet' || (base(each) === 'hyperkube' && each.args[1] === 'kubelet'),
  );
  if (own) return { ...own, kind: own.args.some((arg) => arg.includes('/var/lib/rancher/rke2/')) ? 'rke2' : 'kubelet' };
  const inside = processes.find(
    (each) => base(each) === 'k3s' && (each.args[1] === 'server' || each.args[1] === 'agent'),
  );
  return inside && { ...inside, kind: 'k3s' };
}

/** What a KubeletConfiguration says, YAML or JSON. Throws where it is neither. */
export function fromKubeletConfig(text: string): Endpoints {
  const document: unknown = parse(text, { maxAliasCount: 0 });
  if (typeof document !== 'object' || document === null) return {};
  const { imageServiceEndpoint, containerRuntimeEndpoint } = document as Record<string, unknown>;
  return endpoints(textOf(imageServiceEndpoint), textOf(containerRuntimeEndpoint));
}

/** What a config.yaml of k3s or RKE2 gives its kubelet. */
export function fromRancherConfig(text: string): Endpoints {
  const document: unknown = parse(text, { maxAliasCount: 0 });
  if (typeof document !== 'object' || document === null) return {};
  const entries = document as Record<string, unknown>;
  const args = ['kubelet-arg', 'kubelet-arg+'].flatMap((key) => entries[key] ?? []).map((arg) => `--${String(arg)}`);
  // Without a plus sign a list of a later file takes the place of the earlier ones'.
  const replaces = Object.hasOwn(entries, 'kubelet-arg') && { replaces: true as const };
  return { ...endpoints(flag(args, imageFlag), flag(args, runtimeFlag)), ...replaces };
}

/** What KUBELET_EXTRA_ARGS in an environment file says. */
export function fromEnvironmentFile(text: string): Endpoints {
  const line = [...text.matchAll(/^KUBELET_EXTRA_ARGS=(.*)$/gm)].at(-1)?.[1] ?? '';
  const args = line.replace(/["']/g, '').split(/\s+/);
  return endpoints(flag(args, imageFlag), flag(args, runtimeFlag));
}

async function kubeletFiles(root: string, args: readonly string[] | undefined): Promise<KubeletFile[]> {
  // A kubelet that runs reads the file that its flag names, and none without one.
  const config = args === undefined ? kubeadmConfig : flag(args, 'config');
  const folder = args && flag(args, 'config-dir');
  const dropIns = folder === undefined ? [] : await namesBelow(root, folder, /\.conf$/);
  return readAll(root, [...(config === undefined ? [] : [config]), ...dropIns], fromKubeletConfig);
}

async function rancherFiles(root: string, kind: 'k3s' | 'rke2'): Promise<KubeletFile[]> {
  const config = `/etc/rancher/${kind}/config.yaml`;
  const names = [config, ...(await namesBelow(root, `${config}.d`, /\.ya?ml$/))];
  const files = await readAll(root, names, fromRancherConfig);
  const begin = files.findLastIndex(({ replaces }) => replaces === true);
  return files.slice(Math.max(0, begin));
}

async function readAll(
  root: string,
  files: readonly string[],
  read: (text: string) => Endpoints,
): Promise<KubeletFile[]> {
  const found: KubeletFile[] = [];
  for (const file of files) {
    try {
      const text = await readBelow(root, file);
      if (text === undefined) continue;
      const { mtimeMs } = await stat(path.join(root, file));
      found.push({ file, ...read(text), changedAt: mtimeMs });
    } catch (error) {
      found.push({ file, problem: reasonOf(error).split('\n')[0] ?? '' });
    }
  }
  return found;
}

async function namesBelow(root: string, folder: string, pattern: RegExp): Promise<string[]> {
  try {
    const names = await readdir(path.join(root, folder));
    return names
      .filter((name) => pattern.test(name))
      .sort()
      .map((name) => path.join(folder, name));
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '')) return [];
    throw error;
  }
}

async function kindByFolders(root: string): Promise<KubeletKind> {
  for (const kind of ['k3s', 'rke2'] as const) {
    if (await exists(root, `/var/lib/rancher/${kind}/agent`)) return kind;
  }
  return 'kubelet';
}

/** bootstrap.sh notes what it joined: the runtime always, the kubelet unless it was told `none`. */
async function isMirrorAlone(root: string): Promise<boolean> {
  const [runtime, kubelet, unfinished] = await Promise.all(
    ['runtime', 'kubelet', 'unfinished'].map((name) => exists(root, `${bootstrapState}/${name}`)),
  );
  return runtime === true && kubelet === false && unfinished === false;
}

async function exists(root: string, file: string): Promise<boolean> {
  return stat(path.join(root, file)).then(
    () => true,
    () => false,
  );
}

function endpoints(image: string | undefined, runtime: string | undefined) {
  return {
    ...(image !== undefined && image !== '' && { imageEndpoint: image }),
    ...(runtime !== undefined && runtime !== '' && { runtimeEndpoint: runtime }),
  };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
