import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  describeStatus,
  FrameError,
  grpcStatus,
  largestFrame,
  Reassembly,
  statusTrailers,
  withPrefix,
} from '../../../src/swarm/directory-service/framing.ts';

/** Cuts bytes into chunks of these lengths, over and over. */
function* chunks(bytes: Buffer, lengths: readonly number[]): Generator<Buffer> {
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const length = lengths[turn % lengths.length] ?? 1;
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

describe('messages', () => {
  test('are put together again, however they were cut', () => {
    const payloads = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 });
    const lengths = fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(payloads, lengths, (all, cuts) => {
        const reassembly = new Reassembly();
        const got: Buffer[] = [];
        for (const chunk of chunks(Buffer.concat(all.map(withPrefix)), cuts)) {
          for (const message of reassembly.push(chunk)) got.push(Buffer.from(message));
        }
        expect(got).toEqual(all.map((bytes) => Buffer.from(bytes)));
      }),
    );
  });

  test('of any bytes come out or are refused', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 20 }), (all) => {
        const reassembly = new Reassembly();
        try {
          for (const chunk of all) for (const _message of reassembly.push(Buffer.from(chunk)));
        } catch (error) {
          expect(error).toBeInstanceOf(FrameError);
        }
      }),
    );
  });

  test('may have 64 KiB and no more; a longer one is refused by its prefix', () => {
    expect([...new Reassembly().push(withPrefix(Buffer.alloc(largestFrame)))]).toHaveLength(1);
    const prefix = withPrefix(Buffer.alloc(largestFrame + 1)).subarray(0, 5);
    expect(() => [...new Reassembly().push(prefix)]).toThrow(/a frame of 65537 bytes/);
  });

  test('must not be compressed', () => {
    expect(() => [...new Reassembly().push(Buffer.from([1, 0, 0, 0, 0]))]).toThrow(/compressed/);
  });
});

describe('a status', () => {
  test('is read as it was written', () => {
    const text = fc.stringMatching(/^[ -~]{0,80}$/);
    fc.assert(
      fc.property(fc.constantFrom(...Object.entries(grpcStatus)), text, ([name, code], message) => {
        expect(describeStatus(statusTrailers(code, message))).toBe(message === '' ? name : `${name}: ${message}`);
      }),
    );
  });

  test('of a stranger does no harm in a log', () => {
    const text = fc.uint16Array({ maxLength: 400 }).map((units) => String.fromCharCode(...units));
    fc.assert(
      fc.property(text, text, (code, message) => {
        const words = describeStatus({ 'grpc-status': '3', 'grpc-message': message }) ?? '';
        expect(words).toMatch(/^invalidArgument: [\x20-\x7e]{0,300}$/);
        expect(describeStatus({ 'grpc-status': code })).toMatch(/^[\x20-\x7e]{1,20}$/);
      }),
    );
    expect(describeStatus({})).toBeUndefined();
  });
});
