import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Native } from '../native/types.ts';
import type { Logger } from '../telemetry/log.ts';
import { StoreError } from './errors.ts';
import { decodeHeader, encodeHeader, type FileHeader, type FileKind, headerBytes } from './file-header.ts';
import { isMissing, readStart, syncDirectory, writeAll } from './files.ts';
import { decodeRecords, type JournalRecord } from './journal-format.ts';

export type Geometry = Pick<FileHeader, 'blockSize' | 'capacity'>;

export interface CacheFiles {
  readonly slab: string;
  readonly index: string;
  readonly header: FileHeader;
  readonly records: readonly JournalRecord[];
}

export function slabFile(directory: string): string {
  return path.join(directory, 'pieces.slab');
}

export function indexFile(directory: string): string {
  return path.join(directory, 'index.journal');
}

/**
 * Makes sure that the directory has a slab of this geometry, and reads the index that belongs to it. A slab of another size
 * or version is replaced by an empty one. Throws a `StoreError` where a file is in the way that Shoal did not write.
 */
export async function prepareFiles(
  directory: string,
  geometry: Geometry,
  crc32c: Native['crc32c'],
  log: Logger,
): Promise<CacheFiles> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const slab = slabFile(directory);
  const index = indexFile(directory);
  const found = await readHeader('slab', slab, crc32c);
  await readHeader('index', index, crc32c);
  const reason = whyRebuild(found, geometry);
  if (!reason && typeof found === 'object') {
    return { slab, index, header: found, records: await readIndex(index, found.slabId, crc32c) };
  }
  if (found !== 'missing') log.warn({ directory, reason }, 'the cache on the disk is rebuilt: it starts empty');
  await rm(slab, { force: true });
  await rm(index, { force: true });
  const header = { ...geometry, slabId: randomBytes(16).toString('hex') };
  await createSlab(slab, header, crc32c);
  return { slab, index, header, records: [] };
}

/** What the slab in `directory` was made for; undefined where there is none that can be used. */
export async function readGeometry(directory: string, crc32c: Native['crc32c']): Promise<Geometry | undefined> {
  const header = await readHeader('slab', slabFile(directory), crc32c);
  return typeof header === 'object' ? { blockSize: header.blockSize, capacity: header.capacity } : undefined;
}

function whyRebuild(found: FileHeader | 'unusable' | 'missing', wanted: Geometry): string | undefined {
  if (found === 'missing') return 'there is none';
  if (found === 'unusable') return 'its header is damaged or of another version';
  if (found.capacity !== wanted.capacity) return `capacity was ${found.capacity} and is ${wanted.capacity}`;
  if (found.blockSize !== wanted.blockSize) return `blocksize was ${found.blockSize} bytes and is ${wanted.blockSize}`;
  return undefined;
}

async function readHeader(
  kind: FileKind,
  file: string,
  crc32c: Native['crc32c'],
): Promise<FileHeader | 'unusable' | 'missing'> {
  const bytes = await readStart(file, headerBytes);
  if (!bytes) return 'missing';
  const header = decodeHeader(kind, bytes, crc32c);
  if (header === 'foreign') {
    throw new StoreError(
      'foreign-file',
      `${file} was not written by Shoal and is left as it is. Move it away, or give the cache another directory (stateDir)`,
    );
  }
  return header;
}

/** The slab appears under its name only when its header is on the disk: a file without one is never ours. */
async function createSlab(file: string, header: FileHeader, crc32c: Native['crc32c']): Promise<void> {
  const fresh = `${file}.new`;
  const handle = await open(fresh, 'w', 0o600);
  try {
    await writeAll(handle, encodeHeader('slab', header, crc32c), 0);
    await handle.datasync();
  } finally {
    await handle.close();
  }
  await rename(fresh, file);
  await syncDirectory(path.dirname(file));
}

async function readIndex(file: string, slabId: string, crc32c: Native['crc32c']): Promise<readonly JournalRecord[]> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
  const header = decodeHeader('index', bytes, crc32c);
  if (typeof header === 'string' || header.slabId !== slabId) return [];
  return decodeRecords(bytes, headerBytes, crc32c).records;
}
