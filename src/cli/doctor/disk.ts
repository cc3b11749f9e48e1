import { constants } from 'node:fs';
import { access, stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { slabFile } from '../../store/directory.ts';
import { formatBytes } from '../../units.ts';
import { codeOf, isRefused, needsRoot, ok, problem, reasonOf, skipped, warning } from './findings.ts';
import type { Check, DoctorContext, Finding } from './types.ts';

export const memoryMode = 'the cache is in memory alone (p2p.v2.cache.mode)';

/** Where the cache is, whether it has the room that it may take, and which file system that is. */
export const diskCheck: Check = { group: 'disk', about: 'cache directory', boundMs: 10_000, run: checkDisk };

/** The cache's directory as it is. */
export interface DiskFacts {
  readonly directory: string;
  /** The directory itself, or the nearest one above it that is there. */
  readonly nearest: string;
  /** The file system's number (statfs(2), f_type). */
  readonly type: number;
  /** Bytes of the file system, and of it what is free for us. */
  readonly size: number;
  readonly free: number;
  /** Bytes that the cache has already. */
  readonly taken: number;
  /** `p2p.v2.cache.capacity`. */
  readonly capacity: number;
}

interface Kind {
  readonly name: string;
  /** Why it is no good for a cache. */
  readonly against?: string;
}

const network = 'a network file system: slower than the registry may be, and shared';
const memory = 'in memory: what it holds is missing elsewhere';
/** By f_type: linux/magic.h and the file systems' own headers. */
const kinds: ReadonlyMap<number, Kind> = new Map([
  [0xef53, { name: 'ext4' }],
  [0x58465342, { name: 'xfs' }],
  [0x9123683e, { name: 'btrfs' }],
  [0x2fc12fc1, { name: 'zfs' }],
  [0xf2f52010, { name: 'f2fs' }],
  [0x794c7630, { name: 'overlayfs', against: "a container's own layer: it is gone with the container" }],
  [0x01021994, { name: 'tmpfs', against: memory }],
  [0x858458f6, { name: 'ramfs', against: memory }],
  [0x6969, { name: 'nfs', against: network }],
  [0xff534d42, { name: 'cifs', against: network }],
  [0xfe534d42, { name: 'smb2', against: network }],
  [0x00c36400, { name: 'ceph', against: network }],
  [0x65735546, { name: 'fuse', against: 'a file system in user space: often a network one, and slow' }],
]);

/** Below this share of free space the kubelet begins to evict pods (evictionHard, nodefs.available). */
const evictionShare = 0.1;

export function judgeDisk(facts: DiskFacts): Finding[] {
  return [judgeFileSystem(facts), judgeSpace(facts)];
}

function judgeFileSystem({ directory, nearest, type, size }: DiskFacts): Finding {
  const about = 'file system';
  const { name, against } = kinds.get(type >>> 0) ?? { name: `of type 0x${(type >>> 0).toString(16)}` };
  const made = nearest === directory ? '' : `; the directory is made when the agent starts, below ${nearest}`;
  if (against === undefined) return ok(about, `${name}, ${formatBytes(size)}${made}`);
  return warning(
    about,
    `${name} is ${against}`,
    'set stateDir to a folder on a local disk, or p2p.v2.cache.mode: memory',
  );
}

function judgeSpace({ directory, size, free, taken, capacity }: DiskFacts): Finding {
  const about = 'free space';
  const missing = Math.max(0, capacity - taken);
  const left = free - missing;
  const has = `${formatBytes(free)} free; the cache may take ${formatBytes(capacity)} and has ${formatBytes(taken)} of it`;
  if (left < 0) {
    // A MiB for the index and the file system's own.
    const fits = Math.floor((taken + free) / 2 ** 30) * 2 ** 30;
    const smaller = fits >= 2 ** 30 ? `p2p.v2.cache.capacity: ${fits / 2}` : 'p2p.v2.cache.mode: memory';
    const mend = `free ${formatBytes(-left)} on the disk of ${directory}, or set ${smaller}`;
    return problem(about, `${has}: ${formatBytes(-left)} are missing, and the disk cache stays out of use`, mend);
  }
  if (left < evictionShare * size) {
    const says = `${has}: a full cache leaves less than ${100 * evictionShare} % of the disk, where the kubelet begins to evict pods`;
    return warning(about, says, 'lower p2p.v2.cache.capacity, or set stateDir to a folder on another disk');
  }
  return ok(about, has);
}

async function checkDisk({ config, root, isRoot }: DoctorContext): Promise<Finding[]> {
  const { mode, capacity } = config.p2p.v2.cache;
  if (mode === 'memory') return [skipped(diskCheck.about, memoryMode)];
  const directory = path.join(root, config.stateDir, 'cache');
  try {
    const nearest = await nearestFolder(directory);
    if (nearest === undefined) return [notAFolder(directory)];
    const [{ type, bsize, blocks, bavail }, taken] = await Promise.all([statfs(nearest), takenBy(slabFile(directory))]);
    const facts = { directory, nearest, type, size: blocks * bsize, free: bavail * bsize, taken, capacity };
    return [await judgeAccess(directory, nearest, isRoot), ...judgeDisk(facts)];
  } catch (error) {
    if (isRefused(error)) return [needsRoot(diskCheck.about, `${config.stateDir} is not open to this user`)];
    throw error;
  }
}

async function judgeAccess(directory: string, nearest: string, isRoot: boolean): Promise<Finding> {
  const { about } = diskCheck;
  try {
    await access(nearest, constants.W_OK | constants.X_OK);
    return ok(about, nearest === directory ? directory : `${directory} (not there yet)`);
  } catch (error) {
    if (isRefused(error) && !isRoot) return needsRoot(about, `${nearest} is not open to this user`);
    const cause =
      codeOf(error) === 'EROFS'
        ? 'is on a file system that is mounted read-only'
        : `can't be written to: ${reasonOf(error)}`;
    return problem(
      about,
      `${nearest} ${cause}`,
      `mount -o remount,rw $(findmnt -no TARGET -T ${nearest}), or set stateDir to another folder`,
    );
  }
}

function notAFolder(directory: string): Finding {
  return problem(
    diskCheck.about,
    `${directory}: there is a file where a folder should be`,
    'move it away, or set stateDir to another folder',
  );
}

/** Undefined where something else than a folder is in the way. */
export async function nearestFolder(directory: string): Promise<string | undefined> {
  for (let folder = directory; ; folder = path.dirname(folder)) {
    try {
      return (await stat(folder)).isDirectory() ? folder : undefined;
    } catch (error) {
      if (codeOf(error) === 'ENOTDIR') return undefined;
      if (codeOf(error) !== 'ENOENT' || folder === '/') throw error;
    }
  }
}

async function takenBy(slab: string): Promise<number> {
  try {
    return (await stat(slab)).blocks * 512;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 0;
    throw error;
  }
}
