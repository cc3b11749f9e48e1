import { readdir, readlink } from 'node:fs/promises';
import path from 'node:path';
import { readTextFile } from '../../read-file.ts';
import { codeOf, isRefused } from './findings.ts';

/** A process that runs. */
export interface SeenProcess {
  readonly pid: number;
  /** Its command line; what a process made of its own (`k3s server`) is split at spaces, too. */
  readonly args: readonly string[];
}

/** Bytes of a file below /proc, or of a configuration. */
const largest = 4 * 1024 * 1024;
/** Processes that are read at once: each takes a thread of the pool for a moment. */
const atOnce = 64;
/** Clock ticks a second, as /proc counts (sysconf(_SC_CLK_TCK) is 100 on every Linux that Node runs on). */
const ticks = 100;

/** A file's text below `root`; undefined where there is none. Rejects when it can't be read, or is none to read. */
export async function readBelow(root: string, file: string): Promise<string | undefined> {
  try {
    return await readTextFile(path.join(root, file), largest);
  } catch (error) {
    // ESRCH: the process ended while its file was read.
    if (['ENOENT', 'ENOTDIR', 'ESRCH'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}

/** All processes that this user sees, in the order of their numbers. */
export async function listProcesses(root: string): Promise<readonly SeenProcess[]> {
  const pids = await pidsIn(root);
  const seen = await inBatches(pids, async (pid) => {
    const text = await readBelow(root, `proc/${pid}/cmdline`).catch(() => undefined);
    const args = text?.replace(/\0+$/, '').split('\0') ?? [];
    const split = args.length === 1 ? (args[0] ?? '').split(' ') : args;
    return split[0] ? [{ pid, args: split }] : [];
  });
  return seen.flat();
}

/** When a process began, milliseconds since the epoch. */
export async function startedAt(root: string, pid: number): Promise<number | undefined> {
  const [own, machine] = await Promise.all([readBelow(root, `proc/${pid}/stat`), readBelow(root, 'proc/stat')]);
  return parseStart(own ?? '', machine ?? '');
}

/** From the texts of /proc/<pid>/stat and /proc/stat (proc_pid_stat(5)). */
export function parseStart(stat: string, machine: string): number | undefined {
  // The name in parentheses may have spaces and parentheses itself; field 22 is the 20th behind it.
  const field = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  const boot = /^btime (\d+)$/m.exec(machine)?.[1];
  if (field === undefined || boot === undefined) return undefined;
  return Number(boot) * 1000 + (Number(field) * 1000) / ticks;
}

/** Which process has each socket open, by inode, of those asked for. */
export async function socketOwners(
  root: string,
  inodes: ReadonlySet<number>,
): Promise<ReadonlyMap<number, number> | 'refused'> {
  const owners = new Map<number, number>();
  let refused = false;
  await inBatches(await pidsIn(root), async (pid) => {
    if (owners.size === inodes.size) return;
    const folder = path.join(root, `proc/${pid}/fd`);
    const names = await readdir(folder).catch((error) => {
      refused ||= isRefused(error);
      return [];
    });
    for (const name of names) {
      const target = await readlink(path.join(folder, name)).catch(() => '');
      const inode = Number(/^socket:\[(\d+)\]$/.exec(target)?.[1]);
      if (inodes.has(inode)) owners.set(inode, pid);
    }
  });
  return refused && owners.size < inodes.size ? 'refused' : owners;
}

/** A process' variables, as it was started; undefined where it is gone or another user's. */
export async function environmentOf(root: string, pid: number): Promise<Readonly<Record<string, string>> | undefined> {
  const text = await readBelow(root, `proc/${pid}/environ`).catch(() => undefined);
  if (text === undefined) return undefined;
  const pairs = text.split('\0').filter((entry) => entry.includes('='));
  return Object.fromEntries(
    pairs.map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
  );
}

async function pidsIn(root: string): Promise<number[]> {
  const names = await readdir(path.join(root, 'proc'));
  return names
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((one, other) => one - other);
}

async function inBatches<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += atOnce) {
    results.push(...(await Promise.all(items.slice(at, at + atOnce).map(work))));
  }
  return results;
}
