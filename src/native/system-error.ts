import { getSystemErrorMap } from 'node:util';

/** `code` ('EIO') and text ('i/o error') of a positive errno. */
function describe(errno: number): readonly [code: string, text: string] {
  return getSystemErrorMap().get(-errno) ?? [`E${errno}`, `errno ${errno}`];
}

/** An Error as Node's own system calls make it: `code` and `errno`, and a message that says what could not be done. */
export function errnoError(errno: number, what: string): NodeJS.ErrnoException {
  const [code, text] = describe(errno);
  return Object.assign(new Error(`${what}: ${code}: ${text}`), { code, errno: -errno });
}

/** Puts an error of the addon (message: the system call, `errno`) into words; any other error is returned as it is. */
export function systemError(error: unknown, what: string): unknown {
  if (!(error instanceof Error) || !('errno' in error) || typeof error.errno !== 'number') return error;
  return Object.assign(errnoError(error.errno, `${what} (${error.message})`), { syscall: error.message });
}
