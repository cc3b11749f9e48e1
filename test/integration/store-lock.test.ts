import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { lockDirectory } from '../../src/store/lock.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

let scope: Scope;
let directory: string;

beforeEach(async () => {
  scope = new Scope();
  directory = await temporaryFolder(scope, 'lock');
});

afterEach(() => scope.close());

const lockModule = path.resolve(import.meta.dirname, '../../src/store/lock.ts');

/** Another process that takes the lock and holds it until it is killed. */
async function holder(): Promise<() => Promise<void>> {
  const program = `import(${JSON.stringify(lockModule)}).then(async ({ lockDirectory }) => {
    await lockDirectory(${JSON.stringify(directory)});
    process.stdout.write('held');
    setInterval(() => {}, 1000);
  });`;
  const child = spawn(process.execPath, ['--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = once(child, 'exit');
  const kill = async () => {
    child.kill('SIGKILL');
    await exit;
  };
  scope.defer(kill);
  await Promise.race([once(child.stdout, 'data'), exit.then(() => Promise.reject(new Error('the holder ended')))]);
  return kill;
}

it('keeps another process out for as long as its holder lives, and no longer, even when that was killed', async () => {
  const kill = await holder();
  await expect(lockDirectory(directory)).rejects.toMatchObject({ kind: 'locked' });
  await kill();
  const lock = await lockDirectory(directory);
  await lock.release();
});

it('goes to exactly one of many who find it free at the same time', async () => {
  const kill = await holder();
  await kill();
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => lockDirectory(directory)));
  const locks = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  expect(locks).toHaveLength(1);
  for (const result of results)
    if (result.status === 'rejected') expect(result.reason).toMatchObject({ kind: 'locked' });
  for (const lock of locks) await lock.release();
});

it('leaves one file behind, however often it was taken', async () => {
  for (let turn = 0; turn < 5; turn += 1) await (await lockDirectory(directory)).release();
  expect(await readdir(directory)).toEqual(['lock.5']);
});

it('names the directory and the mend', async () => {
  const lock = await lockDirectory(directory);
  await expect(lockDirectory(directory)).rejects.toThrow(
    `another process uses the cache in ${directory}. Stop it first`,
  );
  await lock.release();
});

it('works in a directory whose path is longer than a socket address', async () => {
  const deep = path.join(directory, 'x'.repeat(100), 'y'.repeat(100));
  const lock = await lockDirectory(deep);
  await expect(lockDirectory(deep)).rejects.toMatchObject({ kind: 'locked' });
  await lock.release();
});
