import type { Native } from '../native/types.ts';

type Checksum = Native['crc32c'];

/** What a slab and its index say of themselves in their first bytes. */
export interface FileHeader {
  readonly blockSize: number;
  /** Bytes of the slab. */
  readonly capacity: number;
  /** Random; the index of one slab is never believed about another. 32 hexadecimal digits. */
  readonly slabId: string;
}

/** Changed with everything that a former version would misread. */
const version = 1;

export const headerBytes = 64;

/** The first eight bytes of each kind of file. */
export const magics = { slab: 'SHOALSLB', index: 'SHOALIDX' } as const;

export type FileKind = keyof typeof magics;

/** 8 magic, 4 version, 4 block size, 8 capacity, 16 slab id, 20 zero, 4 CRC32C of the 60 before; little-endian. */
export function encodeHeader(kind: FileKind, header: FileHeader, crc32c: Checksum): Buffer {
  const bytes = Buffer.alloc(headerBytes);
  bytes.write(magics[kind], 0, 'latin1');
  bytes.writeUInt32LE(version, 8);
  bytes.writeUInt32LE(header.blockSize, 12);
  bytes.writeBigUInt64LE(BigInt(header.capacity), 16);
  bytes.write(header.slabId, 24, 'hex');
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 60)), 60);
  return bytes;
}

/** The header; 'foreign' where Shoal did not write the file; 'unusable' where it did, but it is torn or of another version. */
export function decodeHeader(kind: FileKind, bytes: Buffer, crc32c: Checksum): FileHeader | 'foreign' | 'unusable' {
  if (bytes.toString('latin1', 0, 8) !== magics[kind]) return 'foreign';
  if (bytes.length < headerBytes || bytes.readUInt32LE(60) !== crc32c(bytes.subarray(0, 60))) return 'unusable';
  if (bytes.readUInt32LE(8) !== version) return 'unusable';
  return {
    blockSize: bytes.readUInt32LE(12),
    capacity: Number(bytes.readBigUInt64LE(16)),
    slabId: bytes.toString('hex', 24, 40),
  };
}
