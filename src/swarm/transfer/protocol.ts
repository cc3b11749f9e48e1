import type { PieceKey } from './types.ts';

/** What server and client of pieces have to agree on (docs/transfer.md). */

/** CRC32C of the whole piece, eight hex digits. For people with curl: the client trusts the directory's value only. */
export const checksumHeader = 'X-Shoal-Crc32c';
/** On a 503 whose reason is that no upload slot is free: try another peer now, this one later. */
export const busyHeader = 'X-Shoal-Busy';

/** The largest piece (docs/pull.md: pieces are 256 KiB to 4 MiB). */
export const largestPiece = 4 * 1024 * 1024;
/** The largest index in a path: 4 TiB of 4 MiB pieces. */
const largestIndex = 2 ** 20 - 1;

/**
 * Bytes per second below which a transfer is given up, by either side. 128 requests (`proxyFsParallels`) that share a
 * link of 100 Mbit/s still have 97 kB/s each, six times this; what is slower holds a slot and memory for no use. A piece
 * of 4 MiB is through, or given up, after 256 s.
 */
export const slowestRate = 16 * 1024;

const pathPattern = /^\/v1\/blobs\/(sha256:[0-9a-f]{64})\/pieces\/(0|[1-9][0-9]{0,6})$/;
/** Characters of registries and repositories (src/registry/reference.ts checks the rest), none of which a query escapes. */
const sourcePattern = /^from=([a-zA-Z0-9.:[\]_-]{1,262}\/[a-z0-9._/-]{1,255})$/;

export interface PieceTarget {
  readonly key: PieceKey;
  /** `<registry>/<repository>`: where a mirror fetches the piece when it does not have it. */
  readonly source?: string;
}

export function pieceTarget({ key, source }: PieceTarget): string {
  const path = `/v1/blobs/${key.digest}/pieces/${key.index}`;
  return source === undefined ? path : `${path}?from=${source}`;
}

/** The piece that a request's target names; undefined for every other target. */
export function parsePieceTarget(target: string): PieceTarget | undefined {
  const [path = '', query, ...more] = target.split('?');
  const [, digest, index] = pathPattern.exec(path) ?? [];
  if (digest === undefined || index === undefined || Number(index) > largestIndex || more.length > 0) return undefined;
  const key = { digest, index: Number(index) };
  if (query === undefined) return { key };
  const source = sourcePattern.exec(query)?.[1];
  return source === undefined ? undefined : { key, source };
}

export function formatChecksum(crc32c: number): string {
  return crc32c.toString(16).padStart(8, '0');
}
