import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { containerdConfig } from './containerd-config.ts';
import { CriClient } from './cri-client.ts';
import { type Command, type RunningProcess, run, runBy, start } from './process.ts';
import { Scope } from './scope.ts';
import { temporaryFolder } from './temp.ts';

export interface ContainerdOptions {
  /** The binary; else $SHOAL_CONTAINERD, else the one on the path. */
  readonly binary?: string;
  /** Put before the command: how a program is run in a network namespace. */
  readonly prefix?: Command;
  /** URL that stands for every registry, for one that is not on loopback and speaks http. */
  readonly server?: string;
  /**
   * False: garbage goes only when an image is removed. By default containerd also collects after a hundred changes,
   * which takes a broken download along at a moment that no test can know.
   */
  readonly collectsByItself?: false;
}

/** A containerd with its own root, state, socket and registry configuration. */
export interface Containerd {
  readonly version: { readonly major: number; readonly minor: number };
  readonly binary: string;
  /** Path of its socket. */
  readonly socket: string;
  /** The folder that its `config_path` names. */
  readonly certsFolder: string;
  readonly configFile: string;
  /** A CRI client of its own socket. */
  readonly cri: CriClient;
  readonly process: RunningProcess;
  /** Stops it (SIGKILL by default) and starts it again on the same root and socket. */
  restart(): Promise<void>;
  /** Stops it without starting it again; `restart` does that. */
  kill(): Promise<void>;
  /** Digests of everything in its content store; each blob is hashed and must be what it is called. */
  verifiedContent(): Promise<readonly string[]>;
  /** Bytes of content that it has fetched so far, those of unfinished layers included. */
  contentBytes(): Promise<number>;
  /** What an image looks like as a root file system: path, kind, mode and content's SHA-256 of each entry. */
  rootFileSystem(image: string): Promise<readonly string[]>;
  /** Runs `ctr` in the kubelet's namespace. */
  ctr(...args: string[]): Promise<string>;
}

/** Starts a containerd that is gone, with its mounts and files, when the scope closes. */
export async function startContainerd(scope: Scope, options: ContainerdOptions = {}): Promise<Containerd> {
  // An empty string counts as unset: `make e2e` hands CONTAINERD on even when nobody gave it.
  const binary = options.binary ?? (process.env.SHOAL_CONTAINERD || 'containerd');
  const version = await versionOf(binary);
  const folder = await temporaryFolder(scope, 'containerd');
  scope.defer(() => unmountBelow(folder));
  const certsFolder = path.join(folder, 'certs.d');
  const socket = path.join(folder, 'containerd.sock');
  const configFile = path.join(folder, 'config.toml');
  const content = path.join(folder, 'root/io.containerd.content.v1.content');
  await Promise.all([mkdir(certsFolder), mkdir(path.join(folder, 'cni'))]);
  if (options.server !== undefined) {
    await mkdir(path.join(certsFolder, '_default'));
    await writeFile(path.join(certsFolder, '_default/hosts.toml'), `server = ${JSON.stringify(options.server)}\n`);
  }
  await writeFile(configFile, containerdConfig(version.major, folder, options.collectsByItself ?? true));
  const cri = new CriClient(scope, socket);

  let life = new Scope();
  let running: RunningProcess;
  const begin = async (): Promise<void> => {
    life = new Scope();
    running = await start(life, 'containerd', runBy(options.prefix, [binary, '--config', configFile]));
    await running.until(async () => (await cri.version()).runtime_name === 'containerd', { what: 'its CRI socket' });
  };
  await begin();
  scope.defer(() => life.close());

  const ctr = (...args: string[]): Promise<string> =>
    run(['ctr', '--address', socket, '--namespace', 'k8s.io', ...args]);
  return {
    version,
    binary,
    socket,
    certsFolder,
    configFile,
    cri,
    get process() {
      return running;
    },
    async kill() {
      running.kill('SIGKILL');
      await running.exited;
    },
    async restart() {
      running.kill('SIGKILL');
      await running.exited;
      await begin();
    },
    verifiedContent: () => verifiedBlobs(path.join(content, 'blobs/sha256')),
    contentBytes: () => contentSize(content),
    async rootFileSystem(image) {
      const inner = new Scope();
      try {
        const target = await temporaryFolder(inner, 'rootfs');
        await ctr('images', 'mount', image, target);
        inner.defer(() => ctr('images', 'unmount', '--rm', target));
        return await listTree(target);
      } finally {
        await inner.close();
      }
    },
    ctr,
  };
}

async function versionOf(binary: string): Promise<Containerd['version']> {
  // containerd github.com/containerd/containerd[/v2] v1.7.2 <revision>
  const text = await run([binary, '--version']);
  const found = /\sv?(\d+)\.(\d+)\.\d/.exec(text);
  if (found === null) throw new Error(`${binary} --version says ${JSON.stringify(text)}: no version found in it`);
  return { major: Number(found[1]), minor: Number(found[2]) };
}

async function verifiedBlobs(folder: string): Promise<readonly string[]> {
  // The folder comes with the first blob.
  const names = (await readdir(folder).catch(() => [])).sort();
  for (const name of names) {
    const hash = createHash('sha256');
    await pipeline(createReadStream(path.join(folder, name)), hash);
    const actual = hash.digest('hex');
    if (actual !== name) throw new Error(`containerd holds sha256:${name}, whose bytes are sha256:${actual}`);
  }
  return names.map((name) => `sha256:${name}`);
}

/** Finished content, and what is there of the layers on their way. Files come and go meanwhile: what is gone counts as 0. */
async function contentSize(folder: string): Promise<number> {
  const list = async (...place: string[]): Promise<string[]> =>
    (await readdir(path.join(folder, ...place)).catch(() => [])).map((name) => path.join(folder, ...place, name));
  const blobs = await list('blobs/sha256');
  const ingests = (await list('ingest')).map((ingest) => path.join(ingest, 'data'));
  const sizes = [...blobs, ...ingests].map((file) =>
    stat(file).then(
      (found) => found.size,
      () => 0,
    ),
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

async function listTree(root: string): Promise<readonly string[]> {
  const format = '%P\\t%y\\t%m\\t%U:%G\\t%l\\n';
  const entries = await run(['find', root, '-mindepth', '1', '-printf', format]);
  const contents = await run(['bash', '-c', 'find . -type f -print0 | xargs -0 --no-run-if-empty sha256sum'], {
    cwd: root,
  });
  return [...entries.trimEnd().split('\n'), ...contents.trimEnd().split('\n')].sort();
}

/** A killed containerd leaves the snapshots mounted that it was unpacking into. */
async function unmountBelow(folder: string): Promise<void> {
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((mountPoint) => mountPoint.startsWith(`${folder}/`));
  for (const mountPoint of mounts.reverse()) await run(['umount', '--lazy', mountPoint]);
}
