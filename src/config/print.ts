import { Document, isCollection, isScalar } from 'yaml';
import { configKeys } from './keys.ts';
import type { LoadedConfig } from './load.ts';

/**
 * The effective configuration as YAML that can be read back, each value with its origin as a comment. There is nothing
 * to hide in it: the configuration holds the names of files with secrets, never a secret.
 */
export function printConfig(loaded: LoadedConfig): string {
  const document = new Document(loaded.config);
  for (const key of configKeys) {
    const node = document.getIn(key.path, true);
    if (!isScalar(node) && !isCollection(node)) continue;
    // A comment behind a block list would stand below it; a flow list stays on the key's line.
    if (isCollection(node)) node.flow = true;
    node.comment = ` ${loaded.originOf(key)}`;
  }
  return document.toString({ lineWidth: 0, flowCollectionPadding: false });
}
