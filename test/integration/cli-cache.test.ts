import path from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type CacheCommand, cache } from '../../src/cli/cache.ts';
import { doctorDisk, judge } from '../../src/cli/doctor/disk-speed.ts';
import { native } from '../../src/native/index.ts';
import { createPieceStore } from '../../src/store/store.ts';
import { startAgent } from '../harness/agent.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

const MiB = 1024 * 1024;
let scope: Scope;
let stateDir: string;

beforeEach(async () => {
  scope = new Scope();
  stateDir = await temporaryFolder(scope, 'cli-cache');
});

afterEach(async () => {
  vi.restoreAllMocks();
  await scope.close();
});

/** What the work prints to standard output, taken as JSON. */
async function printed(work: () => Promise<void>): Promise<unknown> {
  let text = '';
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    text += String(chunk);
    return true;
  });
  await work();
  write.mockRestore();
  return JSON.parse(text);
}

const run = (command: CacheCommand) =>
  printed(() =>
    cache(command, {
      output: 'json',
      set: [`stateDir=${stateDir}`, 'runDir=/nowhere', 'p2p.v2.cache.capacity=1073741824'],
    }),
  );

/** A cache of another capacity than the configuration's, with two blobs. */
async function fill() {
  const store = await createPieceStore({
    config: {
      mode: 'disk',
      blocksize: 256,
      capacity: 64 * MiB,
      optionBlockSize: 16 * MiB,
      memoryCacheCapacityGB: 1,
      aio: 1,
      cacheTTL: 0,
    },
    directory: path.join(stateDir, 'cache'),
    native,
    log: pino({ level: 'silent' }),
  });
  for (const [digest, count] of [
    ['sha256:a', 3],
    ['sha256:b', 1],
  ] as const) {
    for (let index = 0; index < count; index += 1) {
      const writer = await store.reserve({ digest, index }, 1000);
      writer.buffer.fill(index);
      writer.commit(native.crc32c(writer.buffer)).release();
    }
  }
  return store;
}

describe('shoal cache on an idle directory', () => {
  it('lists, counts, checks and empties what an agent has left, without rebuilding it', async () => {
    await (await fill()).close();
    expect(await run('ls')).toMatchObject([
      { digest: 'sha256:a', pieces: 3, bytes: 3000, disk: 3, memory: 0, verified: false },
      { digest: 'sha256:b', pieces: 1, bytes: 1000 },
    ]);
    expect(await run('stat')).toMatchObject({ mode: 'disk', pieces: 4, blobs: 2, disk: { used: 4 * 256 * 1024 } });
    expect(await run('verify')).toEqual({ checked: 4, damaged: 0 });
    expect(await run('gc')).toEqual({ dropped: 0 });
    expect(await run('clear')).toEqual({ dropped: 4 });
    expect(await run('ls')).toEqual([]);
  });

  it('leaves a directory alone that another process uses', async () => {
    const store = await fill();
    scope.defer(() => store.close());
    await expect(run('clear')).rejects.toMatchObject({ kind: 'locked' });
    expect(store.stat().pieces).toBe(4);
  });

  it('says where it found nothing', async () => {
    await expect(run('ls')).rejects.toThrow(`there is no disk cache in ${path.join(stateDir, 'cache')}`);
  });
});

describe('shoal cache beside an agent that runs', () => {
  it.each([
    ['disk', { diskTier: 64 * MiB, memoryTier: 32 * MiB }],
    ['memory', { memoryTier: 32 * MiB }],
  ])('asks the agent, in %s mode', async (mode, tiers) => {
    const agent = await startAgent(scope, tiers);
    const ask = async (command: string) => JSON.parse((await agent.shoal('cache', command, '--output', 'json')).stdout);
    expect(await ask('stat')).toMatchObject({ mode, pieces: 0, memory: { capacity: 32 * MiB } });
    expect(await ask('ls')).toEqual([]);
    expect(await ask('verify')).toEqual({ checked: 0, damaged: 0 });
    expect(await ask('gc')).toEqual({ dropped: 0 });
    expect(await ask('clear')).toEqual({ dropped: 0 });
  });
});

describe('shoal doctor disk', () => {
  it('measures a directory and leaves nothing behind', async () => {
    const report = await printed(() => doctorDisk({ directory: stateDir, size: '64', aio: '1', output: 'json' }));
    expect(report).toMatchObject({
      engine: expect.stringMatching(/libaio|pool/),
      writeMegabytes: expect.any(Number),
      verdict: expect.stringMatching(/large-images|usable|too-slow/),
    });
    await expect(run('ls')).rejects.toThrow('there is no disk cache');
  });

  it.each([
    [350, 350, 24_800, 'large-images'],
    [349, 900, 90_000, 'usable'],
    [900, 900, 24_799, 'usable'],
    [140, 140, 3_800, 'usable'],
    [139, 900, 90_000, 'too-slow'],
    [900, 900, 3_799, 'too-slow'],
  ])(
    'takes a disk of %i MB/s writes, %i MB/s reads and %i IOPS for %s',
    (writeMegabytes, readMegabytes, readIops, verdict) => {
      const measure = { engine: 'libaio', engineReason: '', direct: true, writeMegabytes, readMegabytes, readIops };
      expect(judge(measure)).toBe(verdict);
    },
  );
});
