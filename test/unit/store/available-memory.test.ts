import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  checkFreeMemory,
  checkTotalMemory,
  freeMemory,
  parseCgroups,
  parseLimit,
  parseMemAvailable,
  parseStat,
} from '../../../src/store/available-memory.ts';

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const meminfo = `MemTotal:       16384000 kB\nMemFree:         1000000 kB\nMemAvailable:   ${(10 * GiB) / 1024} kB\n`;

describe('what the kernel tells', () => {
  it('takes MemAvailable, not MemFree', () => {
    expect(parseMemAvailable(meminfo)).toBe(10 * GiB);
    expect(parseMemAvailable('MemTotal: 1 kB\n')).toBeUndefined();
  });

  it('finds the groups of both hierarchies', () => {
    expect(parseCgroups('0::/system.slice/shoal.service\n')).toEqual({ v2: '/system.slice/shoal.service' });
    expect(parseCgroups('12:pids:/a\n5:cpu,memory:/b/c\n0::/d\n')).toEqual({ v1: '/b/c', v2: '/d' });
    expect(parseCgroups('nonsense')).toEqual({});
  });

  it('takes max, and the number that v1 has instead, for no limit', () => {
    expect(parseLimit('max\n')).toBeUndefined();
    expect(parseLimit('9223372036854771712\n')).toBeUndefined();
    expect(parseLimit('1048576\n')).toBe(1048576);
  });

  it('reads a counter of memory.stat by its whole name', () => {
    expect(parseStat('inactive_file 5\ntotal_inactive_file 7\n', 'inactive_file')).toBe(5);
    expect(parseStat('', 'inactive_file')).toBe(0);
  });

  it('is bound by the tightest', () => {
    const groups = [
      { name: '/a', limit: 8 * GiB, used: GiB },
      { name: '/', limit: 6 * GiB, used: 5 * GiB },
    ];
    expect(freeMemory(10 * GiB, groups)).toEqual({ bytes: GiB, bound: 'the memory limit of control group /' });
    expect(freeMemory(MiB, groups)).toEqual({ bytes: MiB, bound: 'MemAvailable' });
  });
});

describe('the check at start', () => {
  let root: string;
  const write = async (file: string, text: string) => {
    const target = path.join(root, file);
    await mkdir(path.dirname(target), { recursive: true });
    await writeFile(target, text);
  };

  beforeEach(async () => {
    root = await mkdtemp(path.join(os.tmpdir(), 'shoal-memory-'));
    await write('proc/meminfo', meminfo);
  });

  afterEach(() => rm(root, { recursive: true }));

  it('is content where there is enough, without any control group', async () => {
    await checkFreeMemory(10 * GiB, root);
  });

  it('says how much is missing, why, and what mends it', async () => {
    await expect(checkFreeMemory(12 * GiB, root)).rejects.toThrow(
      'needs 12288 MiB, but MemAvailable leaves 10240 MiB: 2048 MiB are missing. Free that much on the node, lower optionBlockSize',
    );
  });

  it("minds a limit of a group above the process' own (v2), less what the page cache gives back", async () => {
    await write('proc/self/cgroup', '0::/kubepods/pod1\n');
    await write('sys/fs/cgroup/kubepods/pod1/memory.max', 'max\n');
    await write('sys/fs/cgroup/kubepods/memory.max', String(4 * GiB));
    await write('sys/fs/cgroup/kubepods/memory.current', String(2 * GiB));
    await write('sys/fs/cgroup/kubepods/memory.stat', `anon 1\ninactive_file ${GiB}\n`);
    await checkFreeMemory(3 * GiB, root);
    await expect(checkFreeMemory(3 * GiB + 1, root)).rejects.toThrow('control group /kubepods leaves 3072 MiB');
  });

  it('minds the limit of a v1 group', async () => {
    await write('proc/self/cgroup', '4:memory:/docker/x\n0::/\n');
    await write('sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes', String(512 * MiB));
    await write('sys/fs/cgroup/memory/docker/x/memory.usage_in_bytes', String(100 * MiB));
    await expect(checkFreeMemory(GiB, root)).rejects.toMatchObject({ kind: 'memory' });
    await checkFreeMemory(412 * MiB, root);
  });
});

it('a memory tier beyond the machine is refused in every mode', () => {
  expect(() => checkTotalMemory(2 ** 50, 2 ** 34)).toThrow(/more than the machine's memory/);
  expect(() => checkTotalMemory(2 ** 34, 2 ** 34)).not.toThrow();
});
