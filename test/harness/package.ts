import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from './process.ts';

/** Where `make package` leaves the archive and, beside it, the tree that it was made of. */
export const packageFolder = path.resolve(import.meta.dirname, '../../build/package');

/** `shoal-<version>-linux-<arch>`. Rejects when no package was made. */
export async function packageName(): Promise<string> {
  const name = (await readdir(packageFolder).catch(() => [])).find((entry) => entry.endsWith('.tar.gz'));
  if (name === undefined) throw new Error(`there is no package in ${packageFolder}: run make package`);
  return name.replace(/\.tar\.gz$/, '');
}

/** Makes, in a `folder` that is not there yet, a package like `from` with another version and, before its program, `sabotage`. */
export async function packageLike(from: string, folder: string, version: string, sabotage = ''): Promise<void> {
  await run(['cp', '-R', from, folder]);
  const manifest = path.join(folder, 'package.json');
  await writeFile(manifest, JSON.stringify({ ...JSON.parse(await readFile(manifest, 'utf8')), version }, null, 2));
  const program = path.join(folder, 'dist/main.js');
  const text = await readFile(program, 'utf8');
  // Behind the line that tells the system what the file is.
  await writeFile(
    program,
    text.replace(/^(#!.*\n)?/, (first) => `${first}${sabotage}\n`),
  );
  const files = "find . -type f ! -name SHA256SUMS -printf '%P\\n' | sort | xargs sha256sum >SHA256SUMS";
  await run(['sh', '-c', files], { cwd: folder });
}
