import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeStatusMessage,
  encodeStatusMessage,
  formatTimeout,
  frameMessage,
  parseTimeout,
  readSingleMessage,
} from '../../../src/cri/grpc.ts';

describe('a grpc-message', () => {
  test('holds printable ASCII as it is and everything else, the percent sign too, as escaped UTF-8', () => {
    expect(encodeStatusMessage('a "b" ~ 50% ü\n')).toBe('a "b" ~ 50%25 %C3%BC%0A');
  });

  test('comes back as it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (message) => {
        expect(encodeStatusMessage(message)).toMatch(/^[\x20-\x7e]*$/);
        expect(decodeStatusMessage(encodeStatusMessage(message))).toBe(message);
      }),
    );
  });

  test('with an invalid escape is read as far as it goes', () => {
    expect(decodeStatusMessage('100% sure %4')).toBe('100% sure %4');
  });
});

describe('a message in a body', () => {
  test('is found behind its prefix', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (payload) => {
        expect(readSingleMessage(frameMessage(payload))).toEqual({ compressed: false, payload: Buffer.from(payload) });
      }),
    );
  });

  test('is not found where there is none, half of one, more than one, or an unknown flag', () => {
    const one = frameMessage(Buffer.from('x'));
    const unknown = Buffer.from(one);
    unknown[0] = 2;
    for (const body of [Buffer.alloc(0), one.subarray(0, 5), Buffer.concat([one, one]), unknown]) {
      expect(readSingleMessage(body)).toBeUndefined();
    }
  });
});

describe('a grpc-timeout', () => {
  test.each([
    ['2H', 7_200_000],
    ['3M', 180_000],
    ['4S', 4000],
    ['500m', 500],
    ['1500u', 1.5],
    ['99999999n', 99.999999],
  ])('%s is %f ms', (value, milliseconds) => expect(parseTimeout(value)).toBeCloseTo(milliseconds));

  test.each(['', '1', 'S', '123456789S', '1.5S', '-1S', '1s'])('%j is none', (value) =>
    expect(parseTimeout(value)).toBeUndefined(),
  );

  test('that is written has at most eight digits and is never longer than what is left', () => {
    fc.assert(
      fc.property(fc.double({ min: 1, max: 1e13, noNaN: true }), (milliseconds) => {
        const parsed = parseTimeout(formatTimeout(milliseconds));
        expect(parsed).toBeLessThanOrEqual(milliseconds);
      }),
    );
  });
});
