import path from 'node:path';

/** Where the engine listens for its supervisor and the command line. */
export function engineSocketPath(runDir: string): string {
  return path.join(runDir, 'engine.sock');
}
