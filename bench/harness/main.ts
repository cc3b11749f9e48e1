import { Scope } from '../../test/harness/scope.ts';

/**
 * Runs a bench or the demo: its processes, mounts and folders are gone at the end, also after a failure or Ctrl-C, and
 * the exit code tells.
 */
export async function main(name: string, work: (scope: Scope) => Promise<string>): Promise<void> {
  const scope = new Scope();
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => reject(new Error(`interrupted by ${signal}`)));
    }
    // What fails in the background fails the run, too, and must not skip the cleanup.
    process.on('unhandledRejection', reject);
  });
  let lastLine: string | undefined;
  try {
    lastLine = await Promise.race([work(scope), interrupted]);
  } catch (error) {
    console.error(`${name} failed: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
  try {
    await scope.close();
  } catch (error) {
    console.error(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
  // After the cleanup: the last line stands for the whole run.
  if (lastLine !== undefined && process.exitCode === undefined) console.log(lastLine);
  // What an interrupted run still awaits must not keep the process.
  process.exit();
}
