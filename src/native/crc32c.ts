import { addon } from './addon.ts';
import { request } from './completions.ts';

/** CRC32C (RFC 3720 B.4) of `data`, going on from `seed`, the CRC of what came before it (0 at the start). */
export function crc32c(data: Uint8Array, seed = 0): number {
  if (!(data instanceof Uint8Array)) throw new TypeError('crc32c() takes a Uint8Array');
  return addon().crc32c(data, seed);
}

/** The same on the addon's threads. `data` is a view of an arena and must not change until the promise resolves. */
export async function crc32cOffLoop(data: Uint8Array): Promise<number> {
  if (!(data instanceof Uint8Array)) throw new TypeError('crc32cOffLoop() takes a Uint8Array');
  return (await request([], (ticket) => addon().crc32cOffLoop(data, ticket))) >>> 0;
}
