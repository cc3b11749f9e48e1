import type { Server } from 'node:net';
import { addon } from './addon.ts';
import { systemError } from './system-error.ts';

/**
 * Fixes the kernel's send buffer (SO_SNDBUF; it doubles the figure for its own bookkeeping) of every connection that the listening
 * server accepts from now on: they inherit it, and the kernel does not grow it any more. False where this Node does not tell
 * the server's descriptor, which its documentation does not promise: nothing is changed then.
 */
export function limitSendBuffer(server: Server, bytes: number): boolean {
  const handle: unknown = Reflect.get(server, '_handle');
  const descriptor: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  if (typeof descriptor !== 'number' || descriptor < 0) return false;
  try {
    addon().setSendBuffer(descriptor, bytes);
  } catch (error) {
    throw systemError(error, `cannot bound the send buffer to ${bytes} bytes`);
  }
  return true;
}
