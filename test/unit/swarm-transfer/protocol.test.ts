import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseAddress } from '../../../src/config/address.ts';
import { formatChecksum, parsePieceTarget, pieceTarget } from '../../../src/swarm/transfer/protocol.ts';
import { parseRange } from '../../../src/swarm/transfer/range.ts';

const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;

describe("a piece's path", () => {
  const source = 'registry.example:5000/team/app';

  test('names blob and piece, for a mirror the origin too, and is read back', () => {
    expect(pieceTarget({ key: { digest, index: 17 } })).toBe(`/v1/blobs/${digest}/pieces/17`);
    expect(pieceTarget({ key: { digest, index: 17 }, source })).toBe(
      `/v1/blobs/${digest}/pieces/17?from=registry.example:5000/team/app`,
    );
    fc.assert(
      fc.property(fc.nat(2 ** 20 - 1), fc.boolean(), (index, hinted) => {
        const target = { key: { digest, index }, ...(hinted && { source }) };
        expect(parsePieceTarget(pieceTarget(target))).toEqual(target);
      }),
    );
  });

  test.each([
    '/',
    `/v1/blobs/${digest}/pieces/`,
    `/v1/blobs/${digest}/pieces/01`,
    `/v1/blobs/${digest}/pieces/-1`,
    `/v1/blobs/${digest}/pieces/1048576`,
    `/v1/blobs/${digest}/pieces/1?x`,
    `/v1/blobs/${digest}/pieces/1?`,
    `/v1/blobs/${digest}/pieces/1?from=r`,
    `/v1/blobs/${digest}/pieces/1?from=r/a?from=r/a`,
    `/v1/blobs/${digest}/pieces/1?from=r/A%2F`,
    `/v1/blobs/${digest.toUpperCase()}/pieces/1`,
    `/v1/blobs/sha256:../../etc/pieces/1`,
    `//v1/blobs/${digest}/pieces/1`,
  ])('is nothing else: %s', (target) => expect(parsePieceTarget(target)).toBeUndefined());

  test('is what it reads, whatever it is given', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const target = parsePieceTarget(text);
        if (target !== undefined) expect(pieceTarget(target)).toBe(text);
      }),
    );
  });
});

test('a checksum has eight digits', () => {
  expect(formatChecksum(0xe3069283)).toBe('e3069283');
  expect(formatChecksum(7)).toBe('00000007');
});

describe('a range', () => {
  test.each([
    [undefined, undefined],
    ['bytes=0-9', { start: 0, end: 10 }],
    ['bytes=90-', { start: 90, end: 100 }],
    ['bytes=-10', { start: 90, end: 100 }],
    ['bytes=-1000', { start: 0, end: 100 }],
    ['bytes=50-1000', { start: 50, end: 100 }],
    ['bytes=100-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=3-2', undefined],
    ['bytes=-', undefined],
    ['bytes=0-1,3-4', undefined],
    ['lines=0-1', undefined],
  ])('%s of 100 bytes', (header, expected) => expect(parseRange(header, 100)).toEqual(expected));
});

describe("a peer's address", () => {
  test.each([
    ['10.0.0.5:65001', { host: '10.0.0.5', port: 65001 }],
    ['node-1.example:1', { host: 'node-1.example', port: 1 }],
    ['[fd00::5]:65001', { host: 'fd00::5', port: 65001 }],
  ])('%s', (text, expected) => expect(parseAddress(text)).toEqual(expected));

  test.each([
    '',
    '10.0.0.5',
    '10.0.0.5:0',
    '10.0.0.5:65536',
    'fd00::5:65001',
    '[10.0.0.5]:1',
    'a b:1',
    '/run/x:1',
    ':1',
  ])('is not %j', (text) => expect(parseAddress(text)).toBeUndefined());
});
