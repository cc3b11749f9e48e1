import { randomBytes } from 'node:crypto';
import { chmod, chown, lstat, mkdir, open, readdir, readFile, rename, rm, rmdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { type FileChange, RuntimeConfigError } from './types.ts';

/** Bytes. More than any runtime's configuration has. */
const maxBytes = 1024 * 1024;

export interface TextFile {
  readonly text: string;
  readonly mode: number;
}

/** The file, or undefined when there is none. Throws when it is not a plain UTF-8 text file of reasonable size. */
export async function readText(file: string): Promise<TextFile | undefined> {
  const found = await lstat(file).catch(undefinedIfMissing);
  if (!found) return undefined;
  if (found.isSymbolicLink()) {
    throw new RuntimeConfigError(
      `${file} is a symbolic link: whatever keeps it would undo Shoal's change. Put a file there`,
    );
  }
  if (!found.isFile()) throw new RuntimeConfigError(`${file} is not a plain file`);
  return { text: await readBounded(file, found.size), mode: found.mode & 0o777 };
}

/** As `readText`, for files that are only looked at: links are followed. */
export async function lookAtText(file: string): Promise<string | undefined> {
  const found = await stat(file).catch(undefinedIfMissing);
  return found?.isFile() ? readBounded(file, found.size) : undefined;
}

/** Names in a folder, sorted; empty when there is no such folder. */
export async function namesIn(folder: string, kind: 'files' | 'folders'): Promise<string[]> {
  const entries = (await readdir(folder, { withFileTypes: true }).catch(undefinedIfMissing)) ?? [];
  const names: string[] = [];
  for (const entry of entries) {
    const found = entry.isSymbolicLink() ? await stat(path.join(folder, entry.name)).catch(undefinedIfMissing) : entry;
    if (kind === 'folders' ? found?.isDirectory() : found?.isFile()) names.push(entry.name);
  }
  return names.sort();
}

/** How many folders above `file` are missing. */
export async function missingFolders(file: string): Promise<number> {
  let count = 0;
  for (
    let folder = path.dirname(file);
    !(await stat(folder).catch(undefinedIfMissing));
    folder = path.dirname(folder)
  ) {
    count++;
  }
  return count;
}

/** Makes the change on disk, whole or not at all: a reader sees the former file or the new one. */
export async function apply(change: FileChange): Promise<void> {
  try {
    if (change.after === undefined) await remove(change);
    else await replace(change.path, change.after, change.mode);
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'EACCES' || error.code === 'EPERM')) {
      throw new RuntimeConfigError(`${change.path} can't be changed by this user. Run this as root`, error);
    }
    throw error;
  }
}

async function replace(file: string, text: string, mode: number): Promise<void> {
  const folder = path.dirname(file);
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const owner = await stat(file).catch(undefinedIfMissing);
  const draft = path.join(folder, `.${path.basename(file)}.${randomBytes(4).toString('hex')}`);
  const handle = await open(draft, 'wx', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
    await chmod(draft, mode);
    if (owner && (owner.uid !== process.geteuid?.() || owner.gid !== process.getegid?.())) {
      await chown(draft, owner.uid, owner.gid);
    }
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
  await syncFolder(folder);
}

async function remove(change: FileChange): Promise<void> {
  await rm(change.path);
  let folder = path.dirname(change.path);
  await syncFolder(folder);
  for (let count = 0; count < change.emptyFolders; count++, folder = path.dirname(folder)) {
    if ((await readdir(folder)).length > 0) return;
    await rmdir(folder);
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function readBounded(file: string, size: number): Promise<string> {
  if (size > maxBytes) throw new RuntimeConfigError(`${file} is larger than ${maxBytes} bytes: not a configuration`);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await readFile(file));
  } catch (error) {
    if (error instanceof TypeError) throw new RuntimeConfigError(`${file} is not UTF-8 text`, error);
    throw error;
  }
}

function undefinedIfMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
  throw error;
}
