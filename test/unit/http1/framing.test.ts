import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Framing, framingByChunks, framingByClose, framingByLength } from '../../../src/http1/framing.ts';
import { HttpProtocolError } from '../../../src/http1/response-head.ts';

interface Result {
  readonly content: Buffer;
  readonly ended: boolean;
  /** What followed the body. */
  readonly rest: Buffer;
}

/** Feeds a body in pieces of the given lengths (the last one is repeated). */
function feed(framing: Framing, bytes: Buffer, cuts: readonly number[]): Result {
  const content: Buffer[] = [];
  let at = 0;
  let cut = 0;
  while (at < bytes.length) {
    const length = cuts[Math.min(cut, cuts.length - 1)] ?? bytes.length;
    cut += 1;
    let rest: Buffer = bytes.subarray(at, at + length);
    at += rest.length;
    while (rest.length > 0) {
      const framed = framing.next(rest);
      content.push(Buffer.from(framed.data));
      rest = framed.rest;
      if (framed.ended)
        return { content: Buffer.concat(content), ended: true, rest: Buffer.concat([rest, bytes.subarray(at)]) };
    }
  }
  return { content: Buffer.concat(content), ended: false, rest: Buffer.alloc(0) };
}

const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array));
const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 10 });

describe('a body of a known length', () => {
  it('ends after exactly that many bytes, however they come', () => {
    fc.assert(
      fc.property(bytes, bytes, cuts, (body, next, lengths) => {
        fc.pre(body.length > 0);
        const result = feed(framingByLength(body.length), Buffer.concat([body, next]), lengths);
        expect(result).toEqual({ content: body, ended: true, rest: next });
      }),
    );
  });
});

describe('a body until the connection ends', () => {
  it('is everything that comes, and has no end of its own', () => {
    const framing = framingByClose();
    expect(framing.endsWithConnection).toBe(true);
    expect(feed(framing, Buffer.from('abc'), [1])).toMatchObject({ content: Buffer.from('abc'), ended: false });
  });
});

describe('a body in chunks', () => {
  const encode = (chunks: readonly Buffer[], tail = '\r\n') =>
    Buffer.concat([
      ...chunks.flatMap((chunk) => [Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n')]),
      Buffer.from(`0\r\n${tail}`),
    ]);
  const chunks = fc.array(
    bytes.filter((chunk) => chunk.length > 0),
    { maxLength: 6 },
  );

  it('is the chunks’ content, however the bytes come, and leaves what follows alone', () => {
    fc.assert(
      fc.property(chunks, bytes, cuts, (parts, next, lengths) => {
        const result = feed(framingByChunks(), Buffer.concat([encode(parts), next]), lengths);
        expect(result).toEqual({ content: Buffer.concat(parts), ended: true, rest: next });
      }),
    );
  });

  it('may have extensions and trailers, which are read over', () => {
    const encoded = Buffer.from('3;name="value"\r\nabc\r\n0\r\nExpires: never\r\nX: y\r\n\r\nnext');
    expect(feed(framingByChunks(), encoded, [1])).toEqual({
      content: Buffer.from('abc'),
      ended: true,
      rest: Buffer.from('next'),
    });
  });

  it.each([
    ['no size', 'xyz\r\nabc\r\n'],
    ['a negative size', '-1\r\n'],
    ['a size that no number holds', 'fffffffffffff\r\n'],
    ['more content than its size', '3\r\nabcd\r\n'],
    ['bare line feeds', '3\nabc\n0\n\n'],
    ['a line without end', `3;${'x'.repeat(2_000)}`],
    ['trailers without end', `0\r\n${'a: b\r\n'.repeat(100)}`],
  ])('with %s is refused', (_what, text) => {
    expect(() => feed(framingByChunks(), Buffer.from(text), [7])).toThrow(HttpProtocolError);
  });

  it('of any bytes is taken or refused, and ends in neither a hang nor another error', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('0', '3', 'a', ';', '\r', '\n', ' ', 'g'), maxLength: 60 }),
        cuts,
        (text, lengths) => {
          try {
            feed(framingByChunks(), Buffer.from(text), lengths);
          } catch (error) {
            expect(error).toBeInstanceOf(HttpProtocolError);
          }
        },
      ),
    );
  });
});
