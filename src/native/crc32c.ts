import { addon } from './addon.ts';

/** CRC32C (RFC 3720 B.4) of `data`, going on from `seed`, the CRC of what came before it (0 at the start). */
export function crc32c(data: Uint8Array, seed = 0): number {
  if (!(data instanceof Uint8Array)) throw new TypeError('crc32c() takes a Uint8Array');
  return addon().crc32c(data, seed);
}
