import { spawn } from 'node:child_process';
import { z } from 'zod';
import { untilAborted } from '../../until-aborted.ts';
import { type Credentials, RegistryError } from '../types.ts';

/** docker-credential-helpers' protocol: what `get` writes to standard output. */
const answer = z.object({ ServerURL: z.string().optional(), Username: z.string(), Secret: z.string().min(1) });

/** Milliseconds: helpers of clouds ask an API, those of desktops a person, which no node has. */
const deadlineMs = 30_000;
/** Bytes of either output. Tokens of clouds have some KiB. */
const maxOutputBytes = 256 * 1024;

/** What helpers say when they simply have nothing (docker-credential-helpers, credentials/error.go). */
const nothing = 'credentials not found in native keychain';

/**
 * Asks `docker-credential-<helper> get` for a server's login; undefined when it has none. Rejects with a `RegistryError` of
 * kind `unauthorized` that names the helper and how it ended, never its output: that may be a secret. `path` is where it is looked
 * for (PATH of the process by default).
 */
export async function askHelper(
  helper: string,
  serverAddress: string,
  options: { readonly signal?: AbortSignal | undefined; readonly path?: string | undefined } = {},
): Promise<Credentials | undefined> {
  const program = `docker-credential-${helper}`;
  const { code, output } = await runHelper(program, serverAddress, options);
  const text = output.toString('utf8');
  if (code !== 0) {
    if (text.trim() === nothing) return undefined;
    throw failure(program, `ended with ${code === null ? 'a signal' : `exit code ${code}`}`);
  }
  const login = parse(program, text);
  // The protocol's mark for an identity token instead of a name and a password.
  if (login.Username === '<token>') return { kind: 'identity-token', token: login.Secret };
  return { kind: 'basic', username: login.Username, password: login.Secret };
}

interface Ending {
  readonly code: number | null;
  readonly output: Buffer;
}

async function runHelper(
  program: string,
  serverAddress: string,
  options: { readonly signal?: AbortSignal | undefined; readonly path?: string | undefined },
): Promise<Ending> {
  options.signal?.throwIfAborted();
  const child = spawn(program, ['get'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { ...process.env, ...(options.path !== undefined && { PATH: options.path }) },
    // A helper is often a script: its children hold the pipe, and have to end with it.
    detached: true,
  });
  const ended = Promise.withResolvers<Ending>();
  // Awaited below; it may reject before that.
  ended.promise.catch(() => undefined);
  let closed = false;
  const giveUp = (cause: string): void => ended.reject(failure(program, cause));
  const chunks: Buffer[] = [];
  let length = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length > maxOutputBytes) giveUp(`wrote more than ${maxOutputBytes} bytes`);
    else chunks.push(chunk);
  });
  child.once('error', (error) => ended.reject(failure(program, `can't be started: ${error.message}`)));
  child.once('close', (code) => {
    closed = true;
    ended.resolve({ code, output: Buffer.concat(chunks) });
  });
  // One that ends without reading is judged by its exit code, not by the broken pipe.
  child.stdin.on('error', () => undefined);
  child.stdin.end(serverAddress);
  const timer = setTimeout(giveUp, deadlineMs, `gave no answer within ${deadlineMs} ms`);
  try {
    return await untilAborted(ended.promise, options.signal);
  } finally {
    clearTimeout(timer);
    if (child.pid !== undefined && !closed) killGroup(child.pid);
  }
}

function killGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch (error) {
    // Gone already.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

function parse(program: string, text: string): z.output<typeof answer> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw failure(program, 'answered with something else than JSON');
  }
  const parsed = answer.safeParse(json).data;
  if (parsed === undefined) throw failure(program, 'answered without Username and Secret');
  return parsed;
}

function failure(program: string, cause: string): RegistryError {
  return new RegistryError('unauthorized', `credential helper ${program} ${cause}`);
}
