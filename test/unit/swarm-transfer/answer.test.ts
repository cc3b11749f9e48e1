import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Answer, headLimit, type Verdict } from '../../../src/swarm/transfer/answer.ts';

const guard = 64;

/** Like a CRC it depends on the order and can go on from a seed. */
const checksum = (bytes: Uint8Array, seed: number): number =>
  bytes.reduce((sum, byte) => (Math.imul(sum, 31) + byte) >>> 0, seed);

/** Feeds `bytes` to an answer for a piece of `length` bytes, in reads of the given sizes, as a socket would. */
function receive(bytes: Buffer, length: number, sizes: readonly number[] = [Number.MAX_SAFE_INTEGER]) {
  // The destination lies in the middle of memory that must not change.
  const memory = Buffer.alloc(length + 2 * guard, 0xee);
  const destination = memory.subarray(guard, guard + length);
  const answer = new Answer(Buffer.alloc(headLimit), destination, checksum);
  let verdict: Verdict | undefined;
  let at = 0;
  for (let turn = 0; verdict === undefined && at < bytes.length; turn += 1) {
    const into = answer.nextBuffer();
    if (into.length === 0) throw new Error('an answer without a verdict must want bytes');
    const read = bytes.subarray(at, at + Math.min(into.length, sizes[turn % sizes.length] ?? 1));
    read.copy(into);
    at += read.length;
    verdict = answer.received(read.length);
  }
  const untouched = Buffer.concat([memory.subarray(0, guard), memory.subarray(guard + length)]);
  const overrun = untouched.some((byte) => byte !== 0xee);
  return { verdict, destination, overrun, consumed: at, crc32c: answer.crc32c };
}

const head = (status: string, fields: readonly string[]): Buffer =>
  Buffer.from(`HTTP/1.1 ${status}\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n`);
const piece = (body: Buffer, fields: readonly string[] = []): Buffer =>
  Buffer.concat([head('200 OK', [`Content-Length: ${body.length}`, ...fields]), body]);

describe('the answer to a request for a piece', () => {
  const reads = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 8 });

  test('arrives whole, however the network cuts it', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 9000 }), reads, (bytes, sizes) => {
        const body = Buffer.from(bytes);
        const answer = receive(piece(body, ['X-Shoal-Crc32c: 00000000']), body.length, sizes);
        const { verdict, destination, overrun } = answer;
        expect(verdict).toEqual({ keepAlive: true });
        expect(destination.equals(body)).toBe(true);
        expect(answer.crc32c).toBe(checksum(body, 0));
        expect(overrun).toBe(false);
      }),
    );
  });

  test('ends with an error or a whole piece, never beyond its memory, whatever bytes come', () => {
    const line = fc.oneof(
      fc.constantFrom('HTTP/1.1 200 OK', 'Content-Length: 100', 'Content-Length: 99', 'Transfer-Encoding: chunked'),
      fc.constantFrom('HTTP/1.1 503 x', 'X-Shoal-Busy: 1', 'HTTP/1.1 100 Continue', 'HTTP/1.1 404 Not Found', ''),
      fc.string({ maxLength: 40 }),
    );
    const structured = fc.array(line, { maxLength: 8 }).map((lines) => Buffer.from(`${lines.join('\r\n')}\r\n\r\n`));
    const garbage = fc.uint8Array({ maxLength: 3000 }).map((bytes) => Buffer.from(bytes));
    const stream = fc.array(fc.oneof(structured, garbage), { maxLength: 4 }).map((parts) => Buffer.concat(parts));
    fc.assert(
      fc.property(stream, reads, (bytes, sizes) => {
        // What follows whatever came: enough for any answer to come to its end.
        const { verdict, overrun } = receive(Buffer.concat([bytes, Buffer.alloc(headLimit + 100)]), 100, sizes);
        expect(verdict).toBeDefined();
        expect(overrun).toBe(false);
      }),
      { numRuns: 1000 },
    );
  });

  test('gives the same verdict however a refusal or nonsense is cut', () => {
    const texts = [
      head('404 Not Found', ['Content-Length: 0']),
      head('503 Service Unavailable', ['X-Shoal-Busy: 1', 'Content-Length: 0']),
      head('302 Found', ['Location: http://other/', 'Content-Length: 0']),
      Buffer.from('SSH-2.0-OpenSSH_9.2\r\n\r\n'),
    ];
    fc.assert(
      fc.property(fc.constantFrom(...texts), reads, (bytes, sizes) => {
        expect(receive(bytes, 10, sizes).verdict).toEqual(receive(bytes, 10).verdict);
      }),
    );
  });

  test.each([
    ['404 Not Found', ['Content-Length: 0'], 'absent', true],
    ['404 Not Found', ['Content-Length: 0', 'Connection: close'], 'absent', false],
    ['404 Not Found', ['Content-Length: 12'], 'absent', false],
    ['503 Service Unavailable', ['X-Shoal-Busy: 1', 'Content-Length: 0'], 'busy', true],
    ['503 Service Unavailable', ['Content-Length: 0'], 'unreachable', false],
    ['302 Found', ['Location: http://other/', 'Content-Length: 0'], 'unreachable', false],
    ['100 Continue', [], 'unreachable', false],
    ['206 Partial Content', ['Content-Length: 10'], 'unreachable', false],
    ['200 OK', ['Content-Length: 9'], 'corrupt', false],
    ['200 OK', ['Content-Length: 11'], 'corrupt', false],
    ['200 OK', [], 'unreachable', false],
    ['200 OK', ['Content-Length: +10'], 'unreachable', false],
    ['200 OK', ['Content-Length: 10', 'Content-Length: 10'], 'unreachable', false],
    ['200 OK', ['Content-Length: 10', 'Transfer-Encoding: chunked'], 'unreachable', false],
    ['200 OK', ['Content-Length: 10', 'Content-Encoding: gzip'], 'unreachable', false],
    ['200 OK', ['Content-Length: 10', ' folded: yes'], 'unreachable', false],
    ['200 OK', ['Content-Length: 10', 'bad\u0000name: 1'], 'unreachable', false],
  ])('with %s and %j is %s', (status, fields, kind, keepAlive) => {
    const { verdict } = receive(head(status, fields), 10);
    expect(verdict?.error?.kind).toBe(kind);
    expect(verdict?.keepAlive).toBe(keepAlive);
  });

  test('may have a head of 2 KiB and no more', () => {
    const padded = (size: number): Buffer => {
      const bare = piece(Buffer.alloc(5), ['X-Padding: ']).length - 5;
      return piece(Buffer.alloc(5), [`X-Padding: ${'x'.repeat(size - bare)}`]);
    };
    expect(receive(padded(headLimit), 5).verdict).toEqual({ keepAlive: true });
    const { verdict, consumed } = receive(padded(headLimit + 1), 5);
    expect(verdict?.error?.kind).toBe('unreachable');
    expect(consumed).toBe(headLimit);
  });

  test('with more bytes than announced, right behind the head, is refused', () => {
    const bytes = Buffer.concat([piece(Buffer.alloc(10)), Buffer.from('x')]);
    expect(receive(bytes, 10).verdict?.error?.kind).toBe('corrupt');
  });
});
