import { HttpProtocolError } from './response-head.ts';

/** What a body's next bytes are. */
export interface Framed {
  /** Bytes of the content; empty when more are needed to find some. */
  readonly data: Buffer;
  /** What follows and was not looked at yet. */
  readonly rest: Buffer;
  /** The body is complete. */
  readonly ended: boolean;
}

/** How a body's end is found (RFC 9112 section 6.3). */
export interface Framing {
  /** Takes the next bytes apart. Throws an `HttpProtocolError` when they break the framing. */
  next(bytes: Buffer): Framed;
  /** Whether the end of the connection is the end of the body. */
  readonly endsWithConnection: boolean;
}

const none = Buffer.alloc(0);

/** As many bytes as `Content-Length` says. */
export function framingByLength(length: number): Framing {
  let left = length;
  return {
    endsWithConnection: false,
    next(bytes) {
      const data = bytes.subarray(0, left);
      left -= data.length;
      return { data, rest: bytes.subarray(data.length), ended: left === 0 };
    },
  };
}

/** Everything until the server closes the connection. */
export function framingByClose(): Framing {
  return { endsWithConnection: true, next: (data) => ({ data, rest: none, ended: false }) };
}

/** A chunk's size line and one trailer line: extensions are rare, and nobody's are long. */
const maximumLineBytes = 1024;
const maximumTrailers = 64;

/** `Transfer-Encoding: chunked` (RFC 9112 section 7.1); extensions and trailers are read over. */
export function framingByChunks(): Framing {
  let expected: 'size' | 'data' | 'data-end' | 'trailer' = 'size';
  let left = 0;
  let trailers = 0;
  let line = '';

  /** The line that begins in `bytes`, without its end; undefined while it is incomplete. */
  function takeLine(bytes: Buffer): { readonly text: string; readonly rest: Buffer } | undefined {
    const end = bytes.indexOf(0x0a);
    line += bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
    if (line.length > maximumLineBytes) throw new HttpProtocolError('a chunk line that does not end');
    if (end < 0) return undefined;
    if (!line.endsWith('\r')) throw new HttpProtocolError('a chunk line without CR');
    const text = line.slice(0, -1);
    line = '';
    return { text, rest: bytes.subarray(end + 1) };
  }

  return {
    endsWithConnection: false,
    next(bytes) {
      let rest = bytes;
      while (rest.length > 0) {
        if (expected === 'data') {
          const data = rest.subarray(0, left);
          left -= data.length;
          if (left === 0) expected = 'data-end';
          return { data, rest: rest.subarray(data.length), ended: false };
        }
        const taken = takeLine(rest);
        if (taken === undefined) break;
        rest = taken.rest;
        if (expected === 'size') {
          left = chunkSize(taken.text);
          expected = left === 0 ? 'trailer' : 'data';
        } else if (expected === 'data-end') {
          if (taken.text !== '') throw new HttpProtocolError('a chunk longer than its size');
          expected = 'size';
        } else {
          if (taken.text === '') return { data: none, rest, ended: true };
          trailers += 1;
          if (trailers > maximumTrailers) throw new HttpProtocolError(`more than ${maximumTrailers} trailers`);
        }
      }
      return { data: none, rest: none, ended: false };
    },
  };
}

function chunkSize(line: string): number {
  const [, digits] = /^([0-9a-fA-F]{1,12})[ \t]*(?:;.*)?$/.exec(line) ?? [];
  if (digits === undefined) throw new HttpProtocolError(`the chunk size ${JSON.stringify(line.slice(0, 80))}`);
  return Number.parseInt(digits, 16);
}
