import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The package's root: the folder that holds `proto/` and `build/`. The same one level above `src/` and `dist/`. */
export const packageRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

let version: string | undefined;

/** The version in package.json. */
export function packageVersion(): string {
  version ??= String(JSON.parse(readFileSync(path.join(packageRoot, 'package.json'), 'utf8')).version);
  return version;
}
