import type { Native } from '../native/types.ts';
import type { PieceKey } from './types.ts';

type Checksum = Native['crc32c'];

/** A piece's bytes are on the disk. It takes the place of whatever the journal said before of its key and of its blocks. */
export interface PutRecord extends PieceKey {
  readonly type: 'put';
  readonly length: number;
  readonly crc32c: number;
  /** First block. */
  readonly at: number;
  /** Seconds since the epoch. */
  readonly storedAt: number;
  /** Whether the eviction order had seen it used again. */
  readonly proven: boolean;
}

/** A piece has left the disk: its blocks may have been written since. */
export interface DropRecord extends PieceKey {
  readonly type: 'drop';
}

/** All pieces of the blob were on the disk, and the SHA-256 over them was right. */
export interface VerifiedRecord {
  readonly type: 'verified';
  readonly digest: string;
}

export type JournalRecord = PutRecord | DropRecord | VerifiedRecord;

const codes = { put: 1, drop: 2, verified: 3 } as const;
/** A record's length (4 bytes) and the CRC32C of its content (4 bytes), little-endian. */
const frameBytes = 8;
/** 1 type, 1 digest length; then the digest, then the type's own fields. */
const commonBytes = 2;
const fieldBytes = { put: 4 + 4 + 4 + 4 + 8 + 1, drop: 4, verified: 0 } as const;
/** What one byte of digest length can say. */
export const longestDigest = 255;
const longestRecord = commonBytes + longestDigest + fieldBytes.put;

/** The record as it stands in the journal. The digest is ASCII, of at most `longestDigest` characters. */
export function encodeRecord(record: JournalRecord, crc32c: Checksum): Buffer {
  const { type, digest } = record;
  const contentBytes = commonBytes + digest.length + fieldBytes[type];
  const bytes = Buffer.alloc(frameBytes + contentBytes);
  let at = bytes.writeUInt32LE(contentBytes, 0) + 4;
  at = bytes.writeUInt8(codes[type], at);
  at = bytes.writeUInt8(digest.length, at);
  at += bytes.write(digest, at, 'latin1');
  if (record.type !== 'verified') at = bytes.writeUInt32LE(record.index, at);
  if (record.type === 'put') {
    at = bytes.writeUInt32LE(record.length, at);
    at = bytes.writeUInt32LE(record.crc32c, at);
    at = bytes.writeUInt32LE(record.at, at);
    at = bytes.writeDoubleLE(record.storedAt, at);
    bytes.writeUInt8(record.proven ? 1 : 0, at);
  }
  bytes.writeUInt32LE(crc32c(bytes.subarray(frameBytes)), 4);
  return bytes;
}

/**
 * The records in `bytes` from `start` on, up to the first that is torn or flipped: what comes after it can't be trusted,
 * because a drop may be among what is missing. `end` is where that is.
 */
export function decodeRecords(
  bytes: Buffer,
  start: number,
  crc32c: Checksum,
): { readonly records: JournalRecord[]; readonly end: number } {
  const records: JournalRecord[] = [];
  let end = start;
  while (end + frameBytes <= bytes.length) {
    const contentBytes = bytes.readUInt32LE(end);
    const next = end + frameBytes + contentBytes;
    if (contentBytes < commonBytes || contentBytes > longestRecord || next > bytes.length) break;
    const content = bytes.subarray(end + frameBytes, next);
    if (crc32c(content) !== bytes.readUInt32LE(end + 4)) break;
    const record = decodeContent(content);
    if (!record) break;
    records.push(record);
    end = next;
  }
  return { records, end };
}

function decodeContent(content: Buffer): JournalRecord | undefined {
  const fields = commonBytes + content.readUInt8(1);
  const digest = content.toString('latin1', commonBytes, fields);
  switch (content.readUInt8(0)) {
    case codes.put:
      if (content.length !== fields + fieldBytes.put) return undefined;
      return {
        type: 'put',
        digest,
        index: content.readUInt32LE(fields),
        length: content.readUInt32LE(fields + 4),
        crc32c: content.readUInt32LE(fields + 8),
        at: content.readUInt32LE(fields + 12),
        storedAt: content.readDoubleLE(fields + 16),
        proven: content.readUInt8(fields + 24) === 1,
      };
    case codes.drop:
      if (content.length !== fields + fieldBytes.drop) return undefined;
      return { type: 'drop', digest, index: content.readUInt32LE(fields) };
    case codes.verified:
      if (content.length !== fields) return undefined;
      return { type: 'verified', digest };
    default:
      return undefined;
  }
}
