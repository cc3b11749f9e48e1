import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readdir, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import path from 'node:path';
import { StoreError } from './errors.ts';

export interface DirectoryLock {
  release(): Promise<void>;
}

const pattern = /^lock\.(\d+)$/;

/**
 * Takes the directory for this process. The lock is a unix socket in the directory that its holder listens on, so it ends with
 * its holder, however that died: a socket nobody listens on refuses connections. A file with a pid in it could not tell that
 * across containers, where pids mean nothing to each other, and neither could an abstract socket, which belongs to one network
 * namespace; a socket in the file system does.
 *
 * Who finds the highest numbered lock dead claims the next number: `link` lets exactly one claim it. The highest number
 * stays behind when its holder goes, so that nobody who looks in between starts again from 1 beside a new holder.
 *
 * Rejects with a `StoreError` of kind `locked` when another process has the directory.
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const handle = await open(directory, 'r');
  try {
    // A socket's path has at most 107 characters; by this way in it is short, wherever the directory is.
    return await claimLock(`/proc/self/fd/${handle.fd}`, directory);
  } finally {
    await handle.close();
  }
}

async function claimLock(directory: string, name: string): Promise<DirectoryLock> {
  const own = path.join(directory, `lock-${randomBytes(6).toString('hex')}`);
  const server = await listen(own);
  try {
    for (;;) {
      const highest = await highestLock(directory);
      if (highest > 0 && (await isAlive(lockFile(directory, highest)))) throw lockedError(name);
      if (!(await claim(own, lockFile(directory, highest + 1)))) continue;
      // Whoever claimed a higher number while this one looked at an older state of the directory has the lock.
      if ((await highestLock(directory)) > highest + 1) {
        await rm(lockFile(directory, highest + 1), { force: true });
        continue;
      }
      await removeBelow(directory, highest + 1);
      return { release: () => stop(server) };
    }
  } catch (error) {
    await stop(server);
    throw error;
  } finally {
    await rm(own, { force: true });
  }
}

function lockedError(directory: string): StoreError {
  return new StoreError(
    'locked',
    `another process uses the cache in ${directory}. Stop it first, or give this one another directory (stateDir)`,
  );
}

function lockFile(directory: string, number: number): string {
  return path.join(directory, `lock.${number}`);
}

async function highestLock(directory: string): Promise<number> {
  const numbers = (await readdir(directory)).map((name) => Number(pattern.exec(name)?.[1] ?? 0));
  return Math.max(0, ...numbers);
}

/** False when somebody else has the number already. */
async function claim(own: string, file: string): Promise<boolean> {
  try {
    await link(own, file);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

async function removeBelow(directory: string, number: number): Promise<void> {
  for (const name of await readdir(directory)) {
    const other = pattern.exec(name)?.[1];
    if (other !== undefined && Number(other) < number) await rm(path.join(directory, name), { force: true });
  }
}

function listen(file: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', reject);
    server.listen(file, () => {
      server.unref();
      resolve(server);
    });
  });
}

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

/** Whether somebody listens: also when the socket can't be reached for another reason than that nobody does. */
function isAlive(file: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(file);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => {
      const gone = 'code' in error && (error.code === 'ECONNREFUSED' || error.code === 'ENOENT');
      resolve(!gone);
    });
  });
}
