import { mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Scope } from './scope.ts';
import { temporaryFolder } from './temp.ts';

/** A folder that stands for a system's root. */
export interface FakeTree {
  readonly root: string;
  put(file: string, text: string): Promise<void>;
  /** A process of that number, as /proc shows it. */
  addProcess(pid: number, args: readonly string[], sockets?: readonly number[]): Promise<void>;
}

/** Makes an empty one, which goes with the scope. */
export async function fakeTree(scope: Scope): Promise<FakeTree> {
  const root = await temporaryFolder(scope, 'tree');
  const put = async (file: string, text: string): Promise<void> => {
    const target = path.join(root, file);
    await mkdir(path.dirname(target), { recursive: true });
    await writeFile(target, text);
  };
  await mkdir(path.join(root, 'proc'));
  return {
    root,
    put,
    async addProcess(pid, args, sockets = []) {
      await put(`proc/${pid}/cmdline`, `${args.join('\0')}\0`);
      await mkdir(path.join(root, `proc/${pid}/fd`));
      for (const [at, inode] of sockets.entries()) {
        await symlink(`socket:[${inode}]`, path.join(root, `proc/${pid}/fd/${at}`));
      }
    },
  };
}
