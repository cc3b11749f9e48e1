import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { packageRoot } from '../paths.ts';
import { type OutputFormat, print } from './output.ts';

/** `shoal version`. */
export async function printVersion(options: { readonly output: OutputFormat }): Promise<void> {
  const { version }: { version: string } = JSON.parse(await readFile(path.join(packageRoot, 'package.json'), 'utf8'));
  const node = process.version;
  print(options.output, `shoal ${version} (node ${node})`, { version, node });
}
