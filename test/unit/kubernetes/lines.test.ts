import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LineSplitter } from '../../../src/kubernetes/lines.ts';

describe('lines of a watch', () => {
  test('come out whole, however they are cut into chunks, also in the middle of a character', () => {
    const line = fc
      .string({ unit: 'grapheme', minLength: 1 })
      .filter((text) => text.trim() === text && !text.includes('\n'));
    fc.assert(
      fc.property(fc.array(line), fc.array(fc.nat(40)), (lines, sizes) => {
        const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(''));
        const splitter = new LineSplitter(10_000);
        const out: string[] = [];
        let at = 0;
        for (const size of sizes) {
          out.push(...splitter.push(bytes.subarray(at, at + size)));
          at += size;
        }
        out.push(...splitter.push(bytes.subarray(at)));
        expect(out).toEqual(lines);
      }),
    );
  });

  test('may be as long as the bound and no longer, also without an end', () => {
    expect(new LineSplitter(5).push(Buffer.from('12345\n'))).toEqual(['12345']);
    expect(() => new LineSplitter(5).push(Buffer.from('123456\n'))).toThrow(/longer than 5 bytes/);
    const splitter = new LineSplitter(5);
    splitter.push(Buffer.from('123'));
    expect(() => splitter.push(Buffer.from('456'))).toThrow(/longer than 5 bytes/);
  });

  test('that are empty are left out, and a carriage return is no part of one', () => {
    expect(new LineSplitter(10).push(Buffer.from('\n\r\na\r\n\n'))).toEqual(['a']);
  });
});
