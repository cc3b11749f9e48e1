import { describe, expect, test } from 'vitest';
import { judgeAio } from '../../../../src/cli/doctor/aio.ts';
import { judgeDisk } from '../../../../src/cli/doctor/disk.ts';
import { judgeDiskEngine } from '../../../../src/cli/doctor/disk-engine.ts';
import { judgeKernel } from '../../../../src/cli/doctor/kernel.ts';
import { judgeMemory } from '../../../../src/cli/doctor/memory.ts';
import { judgeOpenFiles, parseLimit } from '../../../../src/cli/doctor/open-files.ts';

const GiB = 2 ** 30;

test.each([
  ['6.1.0-13-amd64', 'ok'],
  ['4.18.0-553.el8.x86_64', 'ok'],
  ['4.17.9', 'problem'],
  ['3.10.0-1160.el7.x86_64', 'problem'],
  ['unknown', 'ok'],
])('kernel %s is %s', (version, level) => {
  expect(judgeKernel(version, 'x64').level).toBe(level);
});

describe('kernel aio', () => {
  test.each([
    [{ used: 0, most: 65_536, held: false }, 'ok'],
    [{ used: 65_504, most: 65_536, held: false }, 'ok'],
    [{ used: 65_505, most: 65_536, held: false }, 'warning'],
    [{ used: 65_536, most: 65_536, held: true }, 'ok'],
    [{ used: Number.NaN, most: Number.NaN, held: false }, 'warning'],
  ])('%j is %s', (room, level) => {
    expect(judgeAio(room).level).toBe(level);
  });

  test('the mend raises a limit that is high already', () => {
    expect(judgeAio({ used: 2_000_000, most: 2_000_000, held: false }).mend).toContain('fs.aio-max-nr=4000000');
  });
});

describe('open files', () => {
  test('the limit is read as the kernel writes it', () => {
    const line = (soft: string) =>
      `Limit  Soft Limit  Hard Limit  Units\nMax open files            ${soft}     65536      files\n`;
    expect(parseLimit(line('1024'))).toBe(1024);
    expect(parseLimit(line('unlimited'))).toBe(Number.POSITIVE_INFINITY);
    expect(parseLimit('')).toBeUndefined();
  });

  test.each([
    [{ open: 60, limit: 65_536, members: 1000, parallels: 128 }, 'ok'],
    [{ open: 60, limit: 1024, members: 10, parallels: 128 }, 'ok'],
    [{ open: 60, limit: 1024, members: 1000, parallels: 128 }, 'warning'],
    [{ open: 900, limit: 1024, members: 10, parallels: 128 }, 'warning'],
  ])('%j is %s', (facts, level) => {
    expect(judgeOpenFiles(facts).level).toBe(level);
  });
});

describe('the disk', () => {
  const facts = {
    directory: '/var/lib/shoal/cache',
    nearest: '/var/lib/shoal/cache',
    type: 0xef53,
    size: 100 * GiB,
    free: 50 * GiB,
    taken: 0,
    capacity: 4 * GiB,
  };
  const levels = (changes: Partial<typeof facts>) => judgeDisk({ ...facts, ...changes }).map(({ level }) => level);

  test.each([
    [{}, ['ok', 'ok']],
    [{ type: 0x01021994 }, ['warning', 'ok']],
    [{ type: 0x794c7630 }, ['warning', 'ok']],
    [{ type: 0x6969 }, ['warning', 'ok']],
    // statfs gives CIFS as a negative number on some platforms.
    [{ type: 0xff534d42 | 0 }, ['warning', 'ok']],
    [{ type: 0x12345 }, ['ok', 'ok']],
    [{ free: 3 * GiB }, ['ok', 'problem']],
    // Part of it is taken already.
    [{ free: 13 * GiB, taken: 3 * GiB }, ['ok', 'ok']],
    [{ free: 12 * GiB }, ['ok', 'warning']],
    [{ free: 14 * GiB }, ['ok', 'ok']],
  ])('%j is %j', (changes, expected) => {
    expect(levels(changes)).toEqual(expected);
  });

  test('the mend of a full one is a capacity that fits, or the memory', () => {
    const mend = (free: number) => judgeDisk({ ...facts, free })[1]?.mend;
    expect(mend(3 * GiB)).toContain('p2p.v2.cache.capacity: 1610612736');
    expect(mend(GiB / 2)).toContain('p2p.v2.cache.mode: memory');
  });
});

describe('the disk engine', () => {
  const tried = { engine: 'libaio', engineReason: 'aio is 1', direct: true, wanted: 1 } as const;

  test.each([
    [tried, ['ok', 'ok']],
    [{ ...tried, engine: 'pool', wanted: 0 }, ['ok', 'ok']],
    [{ ...tried, engine: 'pool', engineReason: 'libaio.so.1: cannot open shared object file' }, ['warning', 'ok']],
    [
      { ...tried, engine: 'pool', engineReason: 'the file system refuses O_DIRECT', direct: false },
      ['warning', 'warning'],
    ],
    [{ ...tried, running: 'pool' }, ['warning', 'ok']],
  ] as const)('%j is %j', (facts, expected) => {
    expect(judgeDiskEngine(facts).map(({ level }) => level)).toEqual(expected);
  });

  test('the mend follows the reason', () => {
    const mend = (engineReason: string) => judgeDiskEngine({ ...tried, engine: 'pool', engineReason })[0]?.mend;
    expect(mend('libaio.so.1: cannot open shared object file')).toContain('apt-get install');
    expect(mend('io_setup: Resource temporarily unavailable')).toContain('kernel aio');
    expect(mend('the file system refuses O_DIRECT, without which libaio does one request at a time')).toContain(
      'O_DIRECT',
    );
  });
});

describe('the memory tier', () => {
  const free = (bytes: number, bound = 'MemAvailable') => ({ bytes, bound });

  test.each([
    [{ mode: 'memory', tier: 8 * GiB, free: free(9 * GiB) }, 'ok'],
    [{ mode: 'memory', tier: 8 * GiB, free: free(7 * GiB) }, 'problem'],
    [{ mode: 'memory', tier: 8 * GiB, used: 2 * GiB, free: free(7 * GiB) }, 'ok'],
    [{ mode: 'memory', tier: 8 * GiB, used: 0, free: free(7 * GiB) }, 'warning'],
    [{ mode: 'disk', tier: GiB, free: free(0) }, 'warning'],
  ] as const)('%j is %s', (facts, level) => {
    expect(judgeMemory(facts).level).toBe(level);
  });

  test('the mend raises the limit of the unit where that is the bound', () => {
    const bound = 'the memory limit of control group /system.slice/shoal.service';
    const mend = judgeMemory({ mode: 'memory', tier: 8 * GiB, used: 0, free: free(GiB, bound) }).mend;
    expect(mend).toContain('MemoryMax=10240M');
    expect(judgeMemory({ mode: 'memory', tier: 8 * GiB, used: 0, free: free(GiB) }).mend).toContain('by 7.0 GiB');
  });
});
