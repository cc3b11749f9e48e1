import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** Runs a program to its end and gives its standard output. Rejects with what it said when it fails. */
export async function run(program: string, args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, args, { env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' } });
  return stdout;
}
