import { randomBytes } from 'node:crypto';
import { lstatSync, unlinkSync } from 'node:fs';
import { chmod, link, lstat, mkdir, rename, unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import path from 'node:path';

/** Owner and group may connect; everyone else may not. */
const socketMode = 0o660;

/** The socket can't be served. The message names the cause and the mend. */
export class ListenError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'ListenError';
  }
}

/**
 * Where to listen: on a path of our own, or on a socket that the service manager has opened. `succeed`: the path's socket is taken
 * from the process that serves it, which keeps the connections that it has.
 */
export type ListenTarget = { readonly path: string; readonly succeed?: boolean } | { readonly fd: number };

/**
 * Makes the server listen. A socket file that nobody serves (left behind by a process that was killed) is replaced.
 * Rejects with `ListenError` when another process serves the socket, or when something else is in its place. Gives what is to be
 * called before the server closes: it removes the socket, unless a successor has put its own there.
 */
export async function listenOn(server: Server, target: ListenTarget): Promise<() => void> {
  if ('fd' in target) {
    await listening(server, () => server.listen({ fd: target.fd }), `file descriptor ${target.fd}`);
    return () => undefined;
  }
  const folder = path.dirname(target.path);
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const served = await removeStaleSocket(target.path);
  if (served && target.succeed !== true) throw new ListenError(servedByAnother(target.path));
  // Under another name first: Node unlinks, when it closes, the name that it bound, whosever socket is there by then. And there
  // is no moment without a socket. The name must not be much longer: the kernel takes 107 bytes.
  const bound = path.join(folder, `.${randomBytes(4).toString('hex')}`);
  await listening(server, () => bindWithMode(server, bound), target.path);
  try {
    await chmod(bound, socketMode);
    const { ino, dev } = await lstat(bound);
    if (served) await rename(bound, target.path);
    else await publish(bound, target.path);
    return () => removeOwn(target.path, ino, dev);
  } catch (error) {
    server.close();
    throw error instanceof ListenError ? error : new ListenError(`can't listen on ${target.path}: ${error}`, error);
  }
}

/** Gives the socket its name, unless somebody else was faster. */
async function publish(bound: string, socketPath: string): Promise<void> {
  await link(bound, socketPath).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'EEXIST' ? new ListenError(servedByAnother(socketPath)) : error;
  });
  await unlink(bound);
}

function removeOwn(socketPath: string, ino: number, dev: number): void {
  try {
    const stats = lstatSync(socketPath);
    if (stats.ino === ino && stats.dev === dev) unlinkSync(socketPath);
  } catch {
    // It is gone already, or its folder is.
  }
}

const servedByAnother = (socketPath: string): string =>
  `another process serves ${socketPath}: stop it (a second shoal agent?), or set listen to another path`;

/** From the first moment on, nobody may connect who mayn't later: binding happens within this call. */
function bindWithMode(server: Server, socketPath: string): void {
  const previous = process.umask(0o777 & ~socketMode);
  try {
    server.listen({ path: socketPath });
  } finally {
    process.umask(previous);
  }
}

function listening(server: Server, begin: () => void, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => {
      server.off('listening', done);
      reject(new ListenError(`can't listen on ${what}: ${error.message}`, error));
    };
    const done = (): void => {
      server.off('error', failed);
      resolve();
    };
    server.once('error', failed);
    server.once('listening', done);
    begin();
  });
}

/** Whether a socket stays there that somebody serves. */
async function removeStaleSocket(socketPath: string): Promise<boolean> {
  const stats = await lstat(socketPath).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw new ListenError(`can't look at ${socketPath}: ${error.message}`, error);
  });
  if (stats === undefined) return false;
  if (!stats.isSocket()) {
    throw new ListenError(`${socketPath} is there and is no socket: remove it, or set listen to another path`);
  }
  if (await isServed(socketPath)) return true;
  await unlink(socketPath).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw new ListenError(`can't replace ${socketPath}: ${error.message}`, error);
  });
  return false;
}

function isServed(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socketPath);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    // Only a refusal says for certain that nobody listens; a full backlog (EAGAIN) is a server that lives.
    probe.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    );
  });
}
