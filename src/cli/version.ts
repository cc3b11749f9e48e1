import { packageVersion } from '../paths.ts';
import { type OutputFormat, print } from './output.ts';

/** `shoal version`. */
export function printVersion(options: { readonly output: OutputFormat }): void {
  const version = packageVersion();
  const node = process.version;
  print(options.output, `shoal ${version} (node ${node})`, { version, node });
}
