import { chmod, lstat, mkdir, unlink } from 'node:fs/promises';
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

/** Where to listen: on a path of our own, or on a socket that the service manager has opened. */
export type ListenTarget = { readonly path: string } | { readonly fd: number };

/**
 * Makes the server listen. A socket file that nobody serves (left behind by a process that was killed) is replaced.
 * Rejects with `ListenError` when another process serves the socket, or when something else is in its place.
 */
export async function listenOn(server: Server, target: ListenTarget): Promise<void> {
  if ('fd' in target) {
    await listening(server, () => server.listen({ fd: target.fd }), `file descriptor ${target.fd}`);
    return;
  }
  await mkdir(path.dirname(target.path), { recursive: true, mode: 0o755 });
  await removeStaleSocket(target.path);
  await listening(server, () => bindWithMode(server, target.path), target.path);
  await chmod(target.path, socketMode);
}

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

async function removeStaleSocket(socketPath: string): Promise<void> {
  const stats = await lstat(socketPath).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw new ListenError(`can't look at ${socketPath}: ${error.message}`, error);
  });
  if (stats === undefined) return;
  if (!stats.isSocket()) {
    throw new ListenError(`${socketPath} is there and is no socket: remove it, or set listen to another path`);
  }
  if (await isServed(socketPath)) {
    throw new ListenError(
      `another process serves ${socketPath}: stop it (a second shoal agent?), or set listen to another path`,
    );
  }
  await unlink(socketPath).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw new ListenError(`can't replace ${socketPath}: ${error.message}`, error);
  });
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
