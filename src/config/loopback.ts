import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, mkdir, open, rm } from 'node:fs/promises';
import path from 'node:path';

/**
 * The header that carries the loopback secret. Any local process can connect to the mirror's port; only who can read the
 * runtime's configuration (root) can send this. The mirror lets such requests ride on a pull session's credentials.
 */
export const LOOPBACK_SECRET_HEADER = 'X-Shoal-Secret';

const fileName = 'loopback-secret';
const pattern = /^[0-9a-f]{64}$/;

/** Where the secret of an agent with this state directory is kept. */
export function loopbackSecretPath(stateDir: string): string {
  return path.join(stateDir, fileName);
}

/**
 * The loopback secret, 64 hex digits; made (32 random bytes, mode 0600) when it isn't there. Safe when several processes
 * come at once: all get the same one. Throws when the file is not a plain file, is open to other users or holds
 * something else.
 */
export async function loopbackSecret(stateDir: string): Promise<string> {
  const existing = await readLoopbackSecret(stateDir);
  if (existing !== undefined) return existing;
  await mkdir(stateDir, { recursive: true, mode: 0o755 });
  const target = loopbackSecretPath(stateDir);
  const draft = `${target}.${process.pid}.${randomBytes(4).toString('hex')}`;
  const file = await open(draft, 'wx', 0o600);
  try {
    await file.writeFile(`${randomBytes(32).toString('hex')}\n`);
    await file.sync();
    // link(2) is atomic and, unlike rename(2), never replaces the secret that another process made meanwhile.
    await link(draft, target).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  } finally {
    await file.close();
    await rm(draft, { force: true });
  }
  const secret = await readLoopbackSecret(stateDir);
  if (secret === undefined) throw new Error(`${target} vanished while it was being made`);
  return secret;
}

/** The loopback secret, or undefined when there is none yet. Changes nothing. */
export async function readLoopbackSecret(stateDir: string): Promise<string | undefined> {
  const file = loopbackSecretPath(stateDir);
  const mend = 'Remove it, then run `shoal runtime configure` and restart the agent';
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (error instanceof Error && 'code' in error) {
      if (error.code === 'ENOENT') return undefined;
      if (error.code === 'ELOOP')
        throw new Error(`${file} is a symbolic link, not a secret. ${mend}`, { cause: error });
    }
    throw error;
  }
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw new Error(`${file} is not a plain file. ${mend}`);
    if ((stat.mode & 0o077) !== 0) {
      throw new Error(
        `${file} is open to other users (mode ${(stat.mode & 0o777).toString(8)}): the secret may be known. ${mend}`,
      );
    }
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(128), 0, 128, 0);
    const secret = buffer.toString('latin1', 0, bytesRead).trimEnd();
    if (!pattern.test(secret)) throw new Error(`${file} does not hold 64 hex digits. ${mend}`);
    return secret;
  } finally {
    await handle.close();
  }
}
