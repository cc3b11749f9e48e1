import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { mendAuthority } from '../../../src/cri/hpack.ts';
import { codeCounts, dashSlashes } from '../../../src/cri/huffman.ts';
import { huffman, huffmanAlphabet, indexed, integer, literal, literalKinds } from '../../harness/http2-frames.ts';

/** RFC 7541, appendix A. */
const authority = 1;
const methodPost = 3;
const path = 4;
const schemeHttp = 6;

const codings = fc.constantFrom('plain' as const, 'huffman' as const);
const kinds = fc.constantFrom(...(Object.keys(literalKinds) as Array<keyof typeof literalKinds>));
const text = fc.string({ unit: fc.constantFrom(...huffmanAlphabet, '/', '/', 'a', 'n'), maxLength: 300 });

function mended(block: Buffer): Buffer {
  const copy = Buffer.from(block);
  mendAuthority(copy);
  return copy;
}

describe('the Huffman code', () => {
  test('is complete: 257 symbols whose codes fill the code space exactly', () => {
    expect(codeCounts.reduce((sum, [, count]) => sum + count, 0)).toBe(257);
    expect(codeCounts.reduce((sum, [length, count]) => sum + count * 2 ** -length, 0)).toBe(1);
  });

  test('every string keeps its length and has a dash where it had a slash', () => {
    fc.assert(
      fc.property(text, (value) => {
        const coded = huffman(value);
        expect(dashSlashes(coded)).toBe(value.includes('/'));
        expect(coded).toEqual(huffman(value.replaceAll('/', '-')));
      }),
    );
  });

  test('arbitrary bytes keep their length and end the walk', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void dashSlashes(bytes)));
  });
});

describe('an :authority literal', () => {
  test('has dashes for slashes, whatever its kind and coding, and nothing else of the block changes', () => {
    fc.assert(
      fc.property(text, kinds, codings, text, codings, (value, kind, coding, other, otherCoding) => {
        const block = (authorityValue: string): Buffer =>
          Buffer.concat([
            integer(0x20, 5, 4096),
            indexed(methodPost),
            indexed(schemeHttp),
            literal(path, `/${other}`, 'indexed', otherCoding),
            literal(authority, authorityValue, kind, coding),
            literal('x-path', other, kind, otherCoding),
          ]);
        expect(mended(block(value))).toEqual(block(value.replaceAll('/', '-')));
      }),
    );
  });

  test('that is a host stays as it is', () => {
    const block = literal(authority, 'localhost');
    expect(mended(block)).toEqual(block);
  });
});

test('a block that is no valid HPACK keeps its length and never ends in an error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      mendAuthority(bytes);
    }),
  );
});

test('a literal that ends before its announced length is left as it is', () => {
  const whole = literal(authority, '/run/shoal/shoal.sock');
  for (let length = 0; length < whole.length; length += 1) {
    const cut = whole.subarray(0, length);
    expect(mended(cut)).toEqual(cut);
  }
});
