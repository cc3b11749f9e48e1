import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { HttpHeaders } from '../../../src/registry/exchange.ts';
import { RangeTransfer } from '../../../src/registry/transfer.ts';

const blob = randomBytes(1000);
const ignore = () => {};

function transferOf(start: number, end: number, onData: (chunk: Buffer) => void | Promise<void> = ignore) {
  return new RangeTransfer({ range: { start, end }, size: blob.length, onData }, 'GET blob', ignore);
}

describe('one answer to a range request', () => {
  test.each<[string, number, HttpHeaders, RegExp]>([
    ['no Content-Range', 206, {}, /206 without one usable Content-Range/],
    ['several ranges', 206, { 'content-type': 'multipart/byteranges; boundary=x' }, /usable Content-Range/],
    ['two Content-Range headers', 206, { 'content-range': ['bytes 100-199/1000', 'x'] }, /usable Content-Range/],
    ['another start', 206, { 'content-range': 'bytes 0-199/1000' }, /Content-Range bytes 0-199/],
    ['a later end', 206, { 'content-range': 'bytes 100-200/1000' }, /Content-Range/],
    ['an end before its start', 206, { 'content-range': 'bytes 100-99/1000' }, /Content-Range/],
    ['another size', 206, { 'content-range': 'bytes 100-199/1001' }, /size of 1001 bytes instead of 1000/],
    ['numbers beyond reason', 206, { 'content-range': `bytes 100-${'9'.repeat(30)}/1000` }, /usable Content-Range/],
    [
      'a length unlike its range',
      206,
      { 'content-range': 'bytes 100-199/1000', 'content-length': '99' },
      /Content-Length 99 instead of 100/,
    ],
    ['a whole blob of another size', 200, { 'content-length': '999' }, /Content-Length 999 instead of 1000/],
    ['an encoded body', 200, { 'content-encoding': 'gzip' }, /content encoding gzip/],
    ['another success', 204, {}, /status 204/],
  ])('with %s is refused', (_, status, headers, message) => {
    expect(() => transferOf(100, 200).reader().onHeaders(status, headers)).toThrow(message);
  });

  test('with more bytes than announced is refused', () => {
    const reader = transferOf(100, 200).reader();
    reader.onHeaders(206, { 'content-range': 'bytes 100-199/1000' });
    expect(() => reader.onData(Buffer.alloc(101))).toThrow(/more than the 200 bytes/);
  });

  test('that ignores the range is cut off after the wanted bytes', () => {
    const transfer = transferOf(100, 200);
    const reader = transfer.reader();
    reader.onHeaders(200, { 'content-length': '1000' });
    expect(reader.onData(blob.subarray(0, 150))).toBe('more');
    expect(reader.onData(blob.subarray(150, 300))).toBe('enough');
    expect(transfer).toMatchObject({ ranged: false, wireBytes: 300, missing: undefined });
  });

  test('is read to its end when it holds what was asked, so that the connection can be used again', () => {
    const transfer = transferOf(100, 200);
    const reader = transfer.reader();
    reader.onHeaders(206, { 'content-range': 'bytes 100-199/*' });
    expect(reader.onData(blob.subarray(100, 200))).toBe('more');
    expect(transfer).toMatchObject({ ranged: true, wireBytes: 100, missing: undefined });
  });
});

test('a whole blob is asked for without a range', () => {
  expect(transferOf(0, 1000).rangeHeader).toBeUndefined();
  expect(transferOf(0, 999).rangeHeader).toBe('bytes=0-998');
});

test.each([
  [-1, 5],
  [5, 4],
  [0, 1001],
  [0.5, 5],
])('%d to %d is no range of the blob', (start, end) => {
  expect(() => transferOf(start, end)).toThrow(RangeError);
});

test('a promise of the consumer is passed on', async () => {
  const gate = Promise.withResolvers<void>();
  const reader = transferOf(100, 200, () => gate.promise).reader();
  reader.onHeaders(206, { 'content-range': 'bytes 100-199/1000' });
  const appetite = reader.onData(blob.subarray(100, 200));
  gate.resolve();
  await expect(appetite).resolves.toBe('more');
});

test('every byte arrives once and in order, however often the connection is cut and ranges are ignored', () => {
  const cut = fc.record({
    ranged: fc.boolean(),
    shortened: fc.integer({ min: 0, max: 300 }),
    bytes: fc.integer({ min: 0, max: 700 }),
    chunk: fc.integer({ min: 1, max: 200 }),
  });
  const range = fc.tuple(fc.nat(1000), fc.nat(1000)).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
  fc.assert(
    fc.property(range, fc.array(cut, { maxLength: 8 }), ([start, end], cuts) => {
      const received: Buffer[] = [];
      let progress = 0;
      const onData = (chunk: Buffer) => void received.push(Buffer.from(chunk));
      const transfer = new RangeTransfer({ range: { start, end }, size: 1000, onData }, 'GET', () => {
        progress += 1;
      });
      // The last connection is a good one.
      for (const { ranged, shortened, bytes, chunk } of [
        ...cuts,
        { ranged: true, shortened: 0, bytes: 1000, chunk: 64 },
      ]) {
        const asked = transfer.missing;
        if (asked === undefined) break;
        const reader = transfer.reader();
        const whole = !ranged || transfer.rangeHeader === undefined;
        const last = Math.max(asked.start, asked.end - 1 - shortened);
        let position = whole ? 0 : asked.start;
        const bodyEnd = whole ? 1000 : last + 1;
        reader.onHeaders(whole ? 200 : 206, whole ? {} : { 'content-range': `bytes ${asked.start}-${last}/1000` });
        const cutAt = Math.min(bodyEnd, position + bytes);
        for (let appetite: unknown = 'more'; appetite === 'more' && position < cutAt; position += chunk) {
          appetite = reader.onData(blob.subarray(position, Math.min(position + chunk, cutAt)));
        }
      }
      expect(transfer.missing).toBeUndefined();
      expect(Buffer.concat(received).equals(blob.subarray(start, end))).toBe(true);
      expect(progress).toBe(received.length);
    }),
  );
});
