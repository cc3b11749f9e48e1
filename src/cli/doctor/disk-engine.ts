import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { native } from '../../native/index.ts';
import { deviceDepth } from '../../store/volume.ts';
import { memoryMode, nearestFolder } from './disk.ts';
import { codeOf, isRefused, needsRoot, ok, problem, reasonOf, skipped, warning } from './findings.ts';
import type { Check, DoctorContext, Finding } from './types.ts';

/** linux/fcntl.h: a file without a name. The kernel's number, which Node does not name. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

/** By which engine the cache would read and write in its directory. */
export const diskEngineCheck: Check = { group: 'disk', about: 'disk engine', boundMs: 10_000, run: checkDiskEngine };

async function checkDiskEngine({ config, root, agent }: DoctorContext): Promise<Finding[]> {
  const { about } = diskEngineCheck;
  const { mode, aio } = config.p2p.v2.cache;
  if (mode === 'memory') return [skipped(about, memoryMode)];
  const nearest = await nearestFolder(path.join(root, config.stateDir, 'cache'));
  if (nearest === undefined) return [skipped(about, 'there is no directory to try it in')];
  try {
    return judgeDiskEngine({
      ...(await tryEngine(nearest, aio)),
      wanted: aio,
      running: agent.engine?.store?.disk?.engine,
    });
  } catch (error) {
    const hint = `shoal doctor disk ${nearest} tries it with a file of its own`;
    if (isRefused(error)) return [needsRoot(about, `${nearest} is not open to this user`)];
    if (['EOPNOTSUPP', 'EISDIR', 'EROFS'].includes(codeOf(error) ?? ''))
      return [skipped(about, `can't be told without writing to ${nearest}`, hint)];
    return [problem(about, reasonOf(error), 'install the package again: bootstrap.sh install')];
  }
}

/** What the addon's block device is there, on a file without a name: nothing of it is to be seen, and it is gone when closed. */
async function tryEngine(folder: string, aio: 0 | 1) {
  const file = await open(folder, O_TMPFILE | constants.O_RDWR, 0o600);
  try {
    const name = `/proc/self/fd/${file.fd}`;
    const device = await native.openBlockDevice({
      path: name,
      capacity: 4096,
      aio,
      depth: deviceDepth,
      readOnly: true,
    });
    const { engine, engineReason, direct } = device;
    await device.close();
    return { engine, engineReason, direct };
  } finally {
    await file.close();
  }
}

export interface TriedEngine {
  readonly engine: 'libaio' | 'pool';
  readonly engineReason: string;
  /** Whether the file system lets requests past the page cache (O_DIRECT). */
  readonly direct: boolean;
  /** `p2p.v2.cache.aio`. */
  readonly wanted: 0 | 1;
  /** Of the agent that runs. */
  readonly running?: string | undefined;
}

export function judgeDiskEngine({ engine, engineReason, direct, wanted, running }: TriedEngine): Finding[] {
  const { about } = diskEngineCheck;
  const findings: Finding[] = [];
  if (wanted === 1 && engine !== 'libaio') {
    const mend = engineReason.includes('O_DIRECT')
      ? 'see O_DIRECT below'
      : engineReason.startsWith('io_setup')
        ? 'see kernel aio above'
        : 'apt-get install libaio1t64 || apt-get install libaio1 || dnf install libaio; then systemctl restart shoal';
    findings.push(warning(about, `a pool of threads, which is slower than libaio: ${engineReason}`, mend));
  } else if (running !== undefined && running !== engine) {
    findings.push(
      warning(about, `${engine} could be used now, but the agent that runs uses ${running}`, 'systemctl restart shoal'),
    );
  } else
    findings.push(ok(about, engine === 'libaio' ? engine : `a pool of threads, as p2p.v2.cache.aio: ${wanted} says`));
  findings.push(
    direct
      ? ok('O_DIRECT', 'the file system lets requests past the page cache')
      : warning(
          'O_DIRECT',
          "the file system refuses it: the cache's bytes go through the page cache, and take its memory twice",
          'set stateDir to a folder on ext4 or xfs, or p2p.v2.cache.mode: memory',
        ),
  );
  return findings;
}
