import { readFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import path from 'node:path';
import { StoreError } from './errors.ts';
import { isMissing } from './files.ts';

/** What one control group allows and has used, bytes. */
export interface GroupMemory {
  /** For the error: which group it is. */
  readonly name: string;
  readonly limit: number;
  /** Without the page cache that the kernel gives back by itself (inactive files). */
  readonly used: number;
}

export interface FreeMemory {
  readonly bytes: number;
  /** What sets the bound. */
  readonly bound: string;
}

/** `MemAvailable` of /proc/meminfo in bytes: what can be had without swapping (man proc_meminfo). */
export function parseMemAvailable(meminfo: string): number | undefined {
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(meminfo)?.[1];
  return kib === undefined ? undefined : Number(kib) * 1024;
}

/** The process' groups of /proc/self/cgroup: of the memory controller (v1) and of the unified hierarchy (v2). */
export function parseCgroups(text: string): { v1?: string; v2?: string } {
  const groups: { v1?: string; v2?: string } = {};
  for (const line of text.split('\n')) {
    const [, id, controllers, group] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? [];
    if (group === undefined) continue;
    if (id === '0' && controllers === '') groups.v2 = group;
    else if (controllers?.split(',').includes('memory')) groups.v1 = group;
  }
  return groups;
}

/** A limit file's number of bytes; undefined for `max` (v2) and for v1's "no limit", a number near 2^63. */
export function parseLimit(text: string): number | undefined {
  const bytes = Number(text.trim());
  return Number.isFinite(bytes) && bytes < 2 ** 60 ? bytes : undefined;
}

/** The number after `key` in memory.stat; 0 where it is absent. */
export function parseStat(text: string, key: string): number {
  return Number(new RegExp(`^${key} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
}

/** The least of what the machine and each control group leave. */
export function freeMemory(memAvailable: number, groups: readonly GroupMemory[]): FreeMemory {
  let least: FreeMemory = { bytes: memAvailable, bound: 'MemAvailable' };
  for (const { name, limit, used } of groups) {
    const bytes = Math.max(0, limit - used);
    if (bytes < least.bytes) least = { bytes, bound: `the memory limit of control group ${name}` };
  }
  return least;
}

/**
 * Throws a `StoreError` where less than `needed` bytes are free: memory mode takes its memory as it is used, and would meet
 * the kernel's out-of-memory killer in the middle of a pull. `root`: where /proc and /sys are (tests).
 */
export async function checkFreeMemory(needed: number, root = '/'): Promise<void> {
  const free = await measureFreeMemory(root);
  if (free.bytes >= needed) return;
  const mib = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  throw new StoreError(
    'memory',
    `the memory tier (p2p.v2.cache.optionBlockSize) needs ${mib(needed)}, but ${free.bound} leaves ${mib(free.bytes)}: ` +
      `${mib(needed - free.bytes)} are missing. Free that much on the node, lower optionBlockSize, or set mode: disk`,
  );
}

/** What is left for a process: by its number, or this one. `root`: where /proc and /sys are. */
export async function measureFreeMemory(root: string, process: number | 'self' = 'self'): Promise<FreeMemory> {
  const memAvailable = parseMemAvailable(await readFile(path.join(root, 'proc/meminfo'), 'utf8'));
  return freeMemory(memAvailable ?? Number.POSITIVE_INFINITY, await readGroups(root, process));
}

/**
 * Throws a `StoreError` for a memory tier that the machine could never hold, before its tables are made: those of a tier of
 * a petabyte alone would take all memory. `total`: bytes of the machine.
 */
export function checkTotalMemory(needed: number, total = totalmem()): void {
  if (needed <= total) return;
  throw new StoreError(
    'memory',
    `a memory tier (p2p.v2.cache.optionBlockSize) of ${needed} bytes is more than the machine's memory of ${total} bytes. Lower it`,
  );
}

async function readGroups(root: string, process: number | 'self'): Promise<GroupMemory[]> {
  const { v1, v2 } = parseCgroups((await readText(path.join(root, `proc/${process}/cgroup`))) ?? '');
  return [
    ...(await readHierarchy(path.join(root, 'sys/fs/cgroup'), v2, {
      limit: 'memory.max',
      used: 'memory.current',
      inactive: 'inactive_file',
    })),
    ...(await readHierarchy(path.join(root, 'sys/fs/cgroup/memory'), v1, {
      limit: 'memory.limit_in_bytes',
      used: 'memory.usage_in_bytes',
      inactive: 'total_inactive_file',
    })),
  ];
}

/** The group and all above it: each may have a limit. Groups that a container does not see are absent. */
async function readHierarchy(
  mount: string,
  group: string | undefined,
  names: { limit: string; used: string; inactive: string },
): Promise<GroupMemory[]> {
  const groups: GroupMemory[] = [];
  for (let name = group; name !== undefined; name = name === '/' ? undefined : path.dirname(name)) {
    const folder = path.join(mount, name);
    const limit = parseLimit((await readText(path.join(folder, names.limit))) ?? 'max');
    if (limit === undefined) continue;
    const used = parseLimit((await readText(path.join(folder, names.used))) ?? '0') ?? 0;
    const stat = (await readText(path.join(folder, 'memory.stat'))) ?? '';
    groups.push({ name, limit, used: used - parseStat(stat, names.inactive) });
  }
  return groups;
}

async function readText(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
