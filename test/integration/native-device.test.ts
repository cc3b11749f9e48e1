import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { native } from '../../src/native/index.ts';
import type { BlockDevice, BlockDeviceOptions } from '../../src/native/types.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const block = 4096;

const folders = {
  disk: mkdtempSync(path.join(tmpdir(), 'shoal-device-')),
  tmpfs: mkdtempSync('/dev/shm/shoal-device-'),
};
const opened: BlockDevice[] = [];
const mounted: string[] = [];

async function open(options: BlockDeviceOptions): Promise<BlockDevice> {
  const device = await native.openBlockDevice(options);
  opened.push(device);
  return device;
}

function run(command: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
}

function mount(...args: string[]): string {
  const folder = mkdtempSync(path.join(folders.disk, 'mount-'));
  run('mount', ...args, folder);
  mounted.push(folder);
  return folder;
}

afterEach(async () => {
  await Promise.all(opened.splice(0).map((device) => device.close()));
  for (const folder of mounted.splice(0)) run('umount', folder);
});

afterAll(() => {
  for (const folder of Object.values(folders)) rmSync(folder, { recursive: true, force: true });
});

const engines = [
  ['libaio', 1],
  ['pool', 0],
] as const;

const cases = engines.flatMap(([engine, aio]) =>
  (['disk', 'tmpfs'] as const).map((fileSystem) => ({ engine, aio, fileSystem })),
);

describe.each(cases)('the block device with $engine on $fileSystem', ({ engine, aio, fileSystem }) => {
  const file = path.join(folders[fileSystem], `slab-${engine}`);

  it('says which engine serves and why, and takes the disk space at once', async () => {
    const device = await open({ path: file, capacity: 4 * MiB, aio });
    expect(device).toMatchObject({ capacity: 4 * MiB, engine, engineReason: `aio is ${aio}`, direct: true });
    expect(statSync(file)).toMatchObject({ size: 4 * MiB, mode: 0o100600 });
    expect(statSync(file).blocks * 512).toBeGreaterThanOrEqual(4 * MiB);
  });

  it('reads what was written, as a plain map would', async () => {
    const blocks = 64;
    const device = await open({ path: file, capacity: blocks * block, aio, depth: 8 });
    const arena = native.createArena({ capacity: 2 * blocks * block });
    const model = Buffer.alloc(blocks * block);
    const all = arena.view(0, blocks * block);
    await device.write(all.fill(0), 0);

    const write = fc.record({ at: fc.nat(blocks - 1), length: fc.integer({ min: 1, max: 8 }), value: fc.nat(255) });
    await fc.assert(
      fc.asyncProperty(fc.array(write, { maxLength: 12 }), async (writes) => {
        const taken = new Set<number>();
        const pending: Promise<void>[] = [];
        for (const { at, length, value } of writes) {
          const end = Math.min(at + length, blocks);
          const range = Array.from({ length: end - at }, (_, i) => at + i);
          // The order of two writes in flight to the same block is nobody's promise.
          if (range.some((number) => taken.has(number))) continue;
          for (const number of range) taken.add(number);
          const source = arena.view((blocks + at) * block, (end - at) * block).fill(value);
          model.fill(value, at * block, end * block);
          pending.push(device.write(source, at * block));
        }
        await Promise.all(pending);
        all.fill(0xee);
        const half = (blocks / 2) * block;
        await Promise.all([device.read(all.subarray(0, half), 0), device.read(all.subarray(half), half)]);
        expect(all.equals(model)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it('serves thousands of requests at once, within its depth, each to its own memory', async () => {
    const count = 4096;
    const device = await open({ path: file, capacity: count * block, aio, depth: 16 });
    const arena = native.createArena({ capacity: count * block });
    const all = arena.view(0, count * block);
    const bytes = randomBytes(count * block);
    bytes.copy(all);
    const each = Array.from({ length: count }, (_, i) => i);

    const writes = each.map((i) => device.write(arena.view(i * block, block), i * block));
    expect(device.stat().inFlight).toBeLessThanOrEqual(16);
    await Promise.all(writes);
    await device.sync();
    all.fill(0);
    await Promise.all(each.map((i) => device.read(arena.view(i * block, block), i * block)));

    expect(all.equals(bytes)).toBe(true);
    expect(device.stat()).toEqual({
      inFlight: 0,
      queued: 0,
      reads: count,
      writes: count,
      readBytes: count * block,
      writtenBytes: count * block,
    });
  });

  it('finishes what is under way before it closes, and refuses what comes later with EBADF', async () => {
    const device = await open({ path: file, capacity: 16 * MiB, aio, depth: 4 });
    const arena = native.createArena({ capacity: 16 * MiB });
    const bytes = randomBytes(MiB);
    const writes = Array.from({ length: 16 }, (_, i) => {
      const source = arena.view(i * MiB, MiB);
      bytes.copy(source);
      return device.write(source, i * MiB);
    });
    const closing = device.close();
    expect(device.close()).toBe(closing);
    await expect(device.read(arena.view(0, block), 0)).rejects.toMatchObject({ code: 'EBADF' });
    await expect(device.sync()).rejects.toMatchObject({ code: 'EBADF' });
    await closing;
    expect((await Promise.allSettled(writes)).every(({ status }) => status === 'fulfilled')).toBe(true);
    expect(device.stat()).toMatchObject({ inFlight: 0, queued: 0, writes: 16 });
    expect(
      readFileSync(file)
        .subarray(15 * MiB, 16 * MiB)
        .equals(bytes),
    ).toBe(true);
  });

  it('keeps the memory of a request whose arena and views are gone', async () => {
    const device = await open({ path: file, capacity: MiB, aio });
    const bytes = randomBytes(MiB);
    const start = (): Promise<void> => {
      const arena = native.createArena({ capacity: MiB });
      const view = arena.view(0, MiB);
      bytes.copy(view);
      arena.close();
      return device.write(view, 0);
    };
    await start();
    expect(readFileSync(file).subarray(0, MiB).equals(bytes)).toBe(true);
  });

  it('opens a file read-only with the size that it has', async () => {
    const small = path.join(folders[fileSystem], `small-${engine}`);
    writeFileSync(small, Buffer.alloc(3 * block + 100, 9));
    const device = await open({ path: small, capacity: 64 * MiB, aio, readOnly: true });
    expect(device.capacity).toBe(3 * block);
    const view = native.createArena({ capacity: 3 * block }).view(0, 3 * block);
    await device.read(view, 0);
    expect(view.every((byte) => byte === 9)).toBe(true);
    await expect(device.write(view, 0)).rejects.toMatchObject({ code: 'EBADF' });
    expect(statSync(small).size).toBe(3 * block + 100);
  });

  it('keeps what a file holds, and its length when that is greater', async () => {
    const kept = path.join(folders[fileSystem], `kept-${engine}`);
    writeFileSync(kept, Buffer.alloc(MiB, 5));
    await open({ path: kept, capacity: block, aio });
    expect(readFileSync(kept).equals(Buffer.alloc(MiB, 5))).toBe(true);
  });

  it('rejects a read beyond the end of a file that was truncated meanwhile', async () => {
    const cut = path.join(folders[fileSystem], `cut-${engine}`);
    const device = await open({ path: cut, capacity: 4 * block, aio });
    const view = native.createArena({ capacity: 4 * block }).view(0, 4 * block);
    truncateSync(cut, block + 512);
    await expect(device.read(view, 0)).rejects.toMatchObject({ code: 'ENODATA' });
    await device.read(view.subarray(0, block), 0);
  });

  it.each([
    ['beyond the end', 4 * block, block, 0],
    ['across the end', 3 * block, 2 * block, 0],
    ['before the start', -block, block, 0],
    ['of nothing', 0, 0, 0],
    ['at an odd offset', 512, block, 0],
    ['of an odd length', 0, block + 512, 0],
    ['from an odd address', 0, block, 512],
    ['at no number', Number.NaN, block, 0],
  ])('refuses a transfer %s', async (_name, offset, length, address) => {
    const device = await open({ path: path.join(folders[fileSystem], 'bounds'), capacity: 4 * block, aio });
    const view = native.createArena({ capacity: 16 * block }).view(address, length);
    await expect(device.read(view, offset)).rejects.toThrow(RangeError);
    await expect(device.write(view, offset)).rejects.toThrow(RangeError);
  });

  it('refuses memory that is no arena: it would have to stay put', async () => {
    const device = await open({ path: file, capacity: MiB, aio });
    await expect(device.write(Buffer.from(new ArrayBuffer(block)), 0)).rejects.toThrow('not a view of an arena');
  });
});

describe('the block device in trouble', () => {
  it('reports a full disk when it takes the space, and leaves none of it taken', async () => {
    const folder = mount('-t', 'tmpfs', '-o', 'size=1m', 'tmpfs');
    const slab = path.join(folder, 'slab');
    await expect(open({ path: slab, capacity: 4 * MiB, aio: 1 })).rejects.toMatchObject({
      code: 'ENOSPC',
      message: expect.stringContaining(slab),
    });
    expect(existsSync(slab)).toBe(false);

    writeFileSync(slab, 'short');
    await expect(open({ path: slab, capacity: 4 * MiB, aio: 1 })).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(readFileSync(slab, 'utf8')).toBe('short');
    expect(statSync(slab).blocks * 512).toBeLessThanOrEqual(block);
  });

  it.each(engines)('with %s reports ENOSPC of a write and EIO of a broken disk', async (_engine, aio) => {
    const image = path.join(folders.disk, `ext2-${aio}`);
    writeFileSync(image, '');
    truncateSync(image, 16 * MiB);
    // ext2 cannot preallocate, so the disk is found full by a write.
    run('mkfs.ext2', '-q', image);
    const folder = mount('-o', 'loop', image);
    const device = await open({ path: path.join(folder, 'slab'), capacity: 32 * MiB, aio });
    const view = native.createArena({ capacity: MiB }).view(0, MiB).fill(1);
    const each = Array.from({ length: 32 }, (_, i) => i * MiB);

    const writes = await Promise.allSettled(each.map((offset) => device.write(view, offset)));
    const failed = writes.filter((result) => result.status === 'rejected');
    expect(failed.length).toBeGreaterThan(0);
    expect(failed.length).toBeLessThan(32);
    for (const { reason } of failed) expect(reason).toMatchObject({ code: 'ENOSPC' });

    const written = each.filter((_, i) => writes[i]?.status === 'fulfilled');
    await Promise.all(written.map((offset) => device.read(view, offset)));
    // The loop device now ends in the middle of the file system.
    truncateSync(image, 0);
    const reads = await Promise.allSettled(written.map((offset) => device.read(view, offset)));
    for (const result of reads) expect(result).toMatchObject({ status: 'rejected', reason: { code: 'EIO' } });
    await device.close();
  });

  it('does without O_DIRECT where the file system refuses it, by the pool', async () => {
    const folder = mount('-t', 'ramfs', 'ramfs');
    const device = await open({ path: path.join(folder, 'slab'), capacity: MiB, aio: 1 });
    expect(device).toMatchObject({ direct: false, engine: 'pool' });
    expect(device.engineReason).toContain('O_DIRECT');
    const view = native.createArena({ capacity: MiB }).view(0, MiB).fill(4);
    await device.write(view, 0);
    await device.read(view.fill(0), 0);
    expect(view.every((byte) => byte === 4)).toBe(true);
  });

  it.each([
    ['a folder', '', 'EISDIR'],
    ['a missing folder', 'missing/slab', 'ENOENT'],
    ['a pipe', 'pipe', 'EINVAL'],
  ])('refuses %s', async (_name, name, code) => {
    const folder = mkdtempSync(path.join(folders.disk, 'odd-'));
    run('mkfifo', path.join(folder, 'pipe'));
    await expect(open({ path: path.join(folder, name), capacity: MiB, aio: 1 })).rejects.toMatchObject({ code });
  });

  it('refuses a read-only file system with EROFS', async () => {
    const folder = mount('-t', 'tmpfs', '-o', 'ro', 'tmpfs');
    await expect(open({ path: path.join(folder, 'slab'), capacity: MiB, aio: 1 })).rejects.toMatchObject({
      code: 'EROFS',
    });
  });

  it.each([{ capacity: 0 }, { capacity: 100 }, { capacity: -block }, { depth: 0 }, { depth: 1025 }, { depth: 1.5 }])(
    'refuses %o',
    async (wrong) => {
      const options = { path: path.join(folders.disk, 'never'), capacity: MiB, aio: 1 as const, ...wrong };
      await expect(open(options)).rejects.toThrow(RangeError);
      expect(existsSync(options.path)).toBe(false);
    },
  );
});
