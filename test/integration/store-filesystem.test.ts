import { execFile } from 'node:child_process';
import { mkdir, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CacheConfig } from '../../src/config/schema.ts';
import { native } from '../../src/native/index.ts';
import type { Store } from '../../src/store/piece-store.ts';
import { createPieceStore } from '../../src/store/store.ts';
import { fillPiece, isWholePiece } from '../harness/piece-content.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';
import { waitFor } from '../harness/wait.ts';

const run = promisify(execFile);
const MiB = 1024 * 1024;

/** Real file systems, mounted for the test: root is needed. */
let scope: Scope;
let mount: string;
let lines: string[];

beforeEach(async () => {
  scope = new Scope();
  mount = await temporaryFolder(scope, 'filesystem');
  lines = [];
});

afterEach(() => scope.close());

async function mounted(options: readonly string[]): Promise<void> {
  await run('mount', [...options, mount]);
  scope.defer(() => run('umount', [mount]));
}

/** An ext4 of `mib` MiB in a file. */
async function mountExt4(mib: number): Promise<void> {
  const image = path.join(await temporaryFolder(scope, 'image'), 'image');
  await writeFile(image, '');
  await truncate(image, mib * MiB);
  await run('mkfs.ext4', ['-q', image]);
  await mounted(['-o', 'loop', image]);
}

async function openStore(options: Partial<CacheConfig> = {}): Promise<Store> {
  const config: CacheConfig = {
    mode: 'disk',
    blocksize: 256,
    capacity: 16 * MiB,
    optionBlockSize: 16 * MiB,
    memoryCacheCapacityGB: 1,
    aio: 1,
    cacheTTL: 0,
    ...options,
  };
  const log = pino({ base: null }, { write: (line: string) => void lines.push(line) });
  const store = await createPieceStore({ config, directory: path.join(mount, 'cache'), native, log });
  scope.defer(() => store.close());
  return store;
}

async function put(store: Store, index: number, length = MiB): Promise<void> {
  const key = { digest: 'blob', index };
  const writer = await store.reserve(key, length);
  fillPiece(writer.buffer, key, 1);
  writer.commit(native.crc32c(writer.buffer)).release();
}

async function holds(store: Store, index: number): Promise<boolean> {
  const key = { digest: 'blob', index };
  const piece = await store.get(key);
  if (!piece) return false;
  expect(isWholePiece(piece.bytes, key)).toBe(true);
  piece.release();
  return true;
}

const settled = (store: Store) =>
  waitFor(() => store.stat().memory.dirty === 0, { what: 'everything to be written', timeoutMs: 10_000 });

describe('the store on real file systems', () => {
  it('works where there is no O_DIRECT (tmpfs), over a restart', async () => {
    await mounted(['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs']);
    const first = await openStore();
    for (let index = 0; index < 12; index += 1) await put(first, index);
    await settled(first);
    expect(first.stat().disk?.degraded).toBeUndefined();
    await first.close();
    const second = await openStore();
    for (let index = 0; index < 12; index += 1) expect(await holds(second, index)).toBe(true);
    expect(second.stat().hits.disk).toBe(12);
  });

  it('serves from memory while the disk has no room for the slab, says so once, and takes the disk when it has', async () => {
    await mountExt4(48);
    await mkdir(path.join(mount, 'other'));
    await run('fallocate', ['-l', '30M', path.join(mount, 'other', 'big')]);
    const store = await openStore({ capacity: 32 * MiB });
    expect(store.stat().disk?.degraded).toContain('no space left on device');
    await put(store, 0);
    expect(await holds(store, 0)).toBe(true);
    await run('rm', [path.join(mount, 'other', 'big')]);
    await waitFor(() => store.stat().disk?.degraded === undefined, { what: 'the disk to be used', timeoutMs: 20_000 });
    await settled(store);
    expect(lines.filter((line) => line.includes('out of use'))).toHaveLength(1);
    await store.close();
    expect(await holds(await openStore({ capacity: 32 * MiB }), 0)).toBe(true);
  });

  it('serves from memory on a read-only file system, and takes the disk when it can be written', async () => {
    await mountExt4(48);
    await mkdir(path.join(mount, 'cache'));
    await run('mount', ['-o', 'remount,ro', mount]);
    const store = await openStore();
    expect(store.stat().disk?.degraded).toMatch(/EROFS|read-only/i);
    await put(store, 0);
    expect(await holds(store, 0)).toBe(true);
    await run('mount', ['-o', 'remount,rw', mount]);
    await waitFor(() => store.stat().disk?.degraded === undefined, { what: 'the disk to be used', timeoutMs: 20_000 });
    await settled(store);
    expect(store.stat().disk?.used).toBe(MiB);
  });
});
