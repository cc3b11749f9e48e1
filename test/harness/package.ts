import { readdir } from 'node:fs/promises';
import path from 'node:path';

/** Where `make package` leaves the archive and, beside it, the tree that it was made of. */
export const packageFolder = path.resolve(import.meta.dirname, '../../build/package');

/** `shoal-<version>-linux-<arch>`. Rejects when no package was made. */
export async function packageName(): Promise<string> {
  const name = (await readdir(packageFolder).catch(() => [])).find((entry) => entry.endsWith('.tar.gz'));
  if (name === undefined) throw new Error(`there is no package in ${packageFolder}: run make package`);
  return name.replace(/\.tar\.gz$/, '');
}
