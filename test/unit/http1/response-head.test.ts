import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HttpProtocolError, headEnd, maximumHeadBytes, parseResponseHead } from '../../../src/http1/response-head.ts';

const parse = (text: string) => parseResponseHead(Buffer.from(text.replaceAll('\n', '\r\n'), 'latin1'));

describe('the end of a response head', () => {
  it('is behind its empty line', () => {
    expect(headEnd(Buffer.from('HTTP/1.1 200 OK\r\n\r\nbody'))).toBe(19);
    expect(headEnd(Buffer.from('HTTP/1.1 200 OK\r\n\r'))).toBe(-1);
  });

  it('must come within the bound', () => {
    expect(() => headEnd(Buffer.alloc(maximumHeadBytes + 1, 'x'))).toThrow(HttpProtocolError);
  });
});

describe('a response head', () => {
  it('gives status, fields by lower-case name, and the length', () => {
    const head = parse('HTTP/1.1 206 Partial Content\nContent-Length: 12\nX-A: 1\nx-a:  2 \nEmpty:\n\n');
    expect(head).toMatchObject({ status: 206, body: 12, keepAlive: true });
    expect({ ...head.fields }).toEqual({ 'content-length': '12', 'x-a': ['1', '2'], empty: '' });
  });

  it.each([
    ['HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n', 'chunked'],
    ['HTTP/1.1 200\n\n', 'until-close'],
    ['HTTP/1.1 204 No Content\nContent-Length: 5\n\n', 0],
    ['HTTP/1.1 304 Not Modified\n\n', 0],
    ['HTTP/1.1 100 Continue\n\n', 0],
  ])('of %j has the body %j', (text, body) => {
    expect(parse(text).body).toBe(body);
  });

  it.each([
    ['HTTP/1.1 200 OK\n\n', true],
    ['HTTP/1.1 200 OK\nConnection: foo, Close\n\n', false],
    ['HTTP/1.0 200 OK\n\n', false],
    ['HTTP/1.0 200 OK\nConnection: keep-alive\n\n', true],
  ])('of %j keeps the connection: %j', (text, keepAlive) => {
    expect(parse(text).keepAlive).toBe(keepAlive);
  });

  it.each([
    ['another protocol', 'HTTP/2 200\n\n'],
    ['no status', 'HTTP/1.1 OK\n\n'],
    ['a status of four digits', 'HTTP/1.1 2000 OK\n\n'],
    ['a line without a colon', 'HTTP/1.1 200 OK\nnonsense\n\n'],
    ['a blank before the colon', 'HTTP/1.1 200 OK\nContent-Length : 5\n\n'],
    ['a folded line', 'HTTP/1.1 200 OK\nX: a\n b: c\n\n'],
    ['a control character', 'HTTP/1.1 200 OK\nX: a\u0000b\n\n'],
    ['two lengths', 'HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 2\n\n'],
    ['a list of lengths', 'HTTP/1.1 200 OK\nContent-Length: 1, 1\n\n'],
    ['a negative length', 'HTTP/1.1 200 OK\nContent-Length: -1\n\n'],
    ['a length and chunks', 'HTTP/1.1 200 OK\nContent-Length: 1\nTransfer-Encoding: chunked\n\n'],
    ['an unknown coding', 'HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked\n\n'],
  ])('with %s is refused', (_what, text) => {
    expect(() => parse(text)).toThrow(HttpProtocolError);
  });

  it('of any bytes is read or refused', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        try {
          parse(`HTTP/1.1 200 OK\n${text}\n\n`);
        } catch (error) {
          expect(error).toBeInstanceOf(HttpProtocolError);
        }
      }),
    );
  });
});
