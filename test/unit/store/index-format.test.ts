import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeHeader, encodeHeader } from '../../../src/store/file-header.ts';
import { decodeRecords, encodeRecord, type JournalRecord } from '../../../src/store/journal-format.ts';
import { replay } from '../../../src/store/replay.ts';

/** Any checksum will do for the format; this one is in Node. */
const checksum = (data: Uint8Array, seed = 0) => crc32(data, seed);
const uint32 = fc.integer({ min: 0, max: 0xffffffff });
const digest = fc.string({ unit: fc.constantFrom(...'sha256:0f'), minLength: 1, maxLength: 255 });
const record: fc.Arbitrary<JournalRecord> = fc.oneof(
  fc.record({
    type: fc.constant('put' as const),
    digest,
    index: uint32,
    length: uint32,
    crc32c: uint32,
    at: uint32,
    storedAt: fc.double({ min: 0, max: 1e10, noNaN: true }),
    proven: fc.boolean(),
  }),
  fc.record({ type: fc.constant('drop' as const), digest, index: uint32 }),
  fc.record({ type: fc.constant('verified' as const), digest }),
);

const encodeAll = (records: readonly JournalRecord[]) =>
  Buffer.concat(records.map((one) => encodeRecord(one, checksum)));

describe('journal', () => {
  it('reads back what was written', () => {
    fc.assert(
      fc.property(fc.array(record), (records) => {
        const bytes = encodeAll(records);
        expect(decodeRecords(bytes, 0, checksum)).toEqual({ records, end: bytes.length });
      }),
    );
  });

  it('gives the records before a cut or a flipped bit, and none after', () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1 }), fc.nat(), fc.nat(7), (records, where, bit) => {
        const bytes = encodeAll(records);
        const at = where % bytes.length;
        const before = records.filter((_, count) => encodeAll(records.slice(0, count + 1)).length <= at);
        expect(decodeRecords(bytes.subarray(0, at), 0, checksum).records).toEqual(before);
        bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << bit), at);
        expect(decodeRecords(bytes, 0, checksum).records).toEqual(before);
      }),
    );
  });

  it('takes any bytes without failing', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) => {
        expect(decodeRecords(Buffer.from(bytes), 0, checksum).end).toBeLessThanOrEqual(bytes.length);
      }),
    );
  });
});

describe('file headers', () => {
  const header = { blockSize: 262144, capacity: 2 ** 40, slabId: '00112233445566778899aabbccddeeff' };

  it('say again what they were given', () => {
    expect(decodeHeader('slab', encodeHeader('slab', header, checksum), checksum)).toEqual(header);
  });

  it('tell a foreign file from one of ours that is torn', () => {
    const bytes = encodeHeader('slab', header, checksum);
    expect(decodeHeader('index', bytes, checksum)).toBe('foreign');
    expect(decodeHeader('slab', Buffer.alloc(64), checksum)).toBe('foreign');
    expect(decodeHeader('slab', Buffer.alloc(0), checksum)).toBe('foreign');
    expect(decodeHeader('slab', bytes.subarray(0, 40), checksum)).toBe('unusable');
    bytes.writeUInt8(1, 20);
    expect(decodeHeader('slab', bytes, checksum)).toBe('unusable');
  });
});

describe('replay', () => {
  const geometry = { blocks: 8, blockSize: 100 };
  const put = (name: string, index: number, at: number, length = 100) =>
    ({ type: 'put', digest: name, index, at, length, crc32c: 0, storedAt: 0, proven: false }) as const;
  const names = (records: readonly JournalRecord[]) =>
    replay(records, geometry).pieces.map((piece) => `${piece.digest}/${piece.index}`);

  it('keeps the last put of a piece, and none that was dropped', () => {
    const pieces = replay(
      [put('a', 0, 0), put('b', 0, 1), put('a', 0, 2), { type: 'drop', digest: 'b', index: 0 }],
      geometry,
    ).pieces;
    expect(pieces).toEqual([put('a', 0, 2)]);
  });

  it('ends a piece whose blocks another was put over, even without its drop', () => {
    expect(names([put('a', 0, 0, 300), put('b', 0, 2), put('c', 0, 3)])).toEqual(['b/0', 'c/0']);
  });

  it('believes no record that points beyond the slab or at nothing', () => {
    expect(names([put('a', 0, 8), put('b', 0, 7, 101), put('c', 0, 0, 0), put('d', 0, 7)])).toEqual(['d/0']);
  });

  it('knows a blob as verified until one of its pieces goes', () => {
    const all: JournalRecord[] = [put('a', 0, 0), put('a', 1, 1), put('b', 0, 2)];
    const marks: JournalRecord[] = ['a', 'b'].map((name) => ({ type: 'verified', digest: name }));
    expect(replay([...all, ...marks], geometry).verified).toEqual(new Set(['a', 'b']));
    expect(replay([...all, ...marks, put('c', 0, 1)], geometry).verified).toEqual(new Set(['b']));
  });
});
