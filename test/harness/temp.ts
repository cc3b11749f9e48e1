import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Scope } from './scope.ts';

/** A folder of its own below the system's temporary folder; gone when the scope closes. */
export async function temporaryFolder(scope: Scope, name: string): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), `shoal-${name}-`));
  scope.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  return folder;
}
