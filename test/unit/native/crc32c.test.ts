import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { native } from '../../../src/native/index.ts';

/** Bit by bit, from the definition: what the fast ways must agree with. */
function reference(data: Uint8Array, seed = 0): number {
  let register = ~seed;
  for (const byte of data) {
    register ^= byte;
    for (let bit = 0; bit < 8; bit++) register = (register >>> 1) ^ (register & 1 ? 0x82f63b78 : 0);
  }
  return ~register >>> 0;
}

describe('crc32c', () => {
  it('gives the check value of the catalogue', () => {
    expect(native.crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
  });

  it.each([
    ['32 zeroes', Buffer.alloc(32), 0x8a9136aa],
    ['32 ones', Buffer.alloc(32, 0xff), 0x62a8ab43],
    ['0 to 31', Buffer.from(Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e],
    ['31 to 0', Buffer.from(Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c],
  ])('gives the value of RFC 3720 B.4 for %s', (_name, data, crc) => {
    expect(native.crc32c(data)).toBe(crc);
  });

  it('is 0 for nothing, and leaves a seed as it is', () => {
    expect(native.crc32c(new Uint8Array())).toBe(0);
    expect(native.crc32c(new Uint8Array(), 0xe3069283)).toBe(0xe3069283);
  });

  it('agrees with the definition at every length and alignment', () => {
    const memory = Buffer.from(Array.from({ length: 1600 }, (_, i) => (i * 167) ^ (i >> 3)));
    for (let length = 0; length < 800; length++) {
      const data = memory.subarray(length % 17, (length % 17) + length);
      expect(native.crc32c(data)).toBe(reference(data));
    }
  });

  it('agrees with the definition where long and short lanes meet', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 40_000 }), fc.integer({ min: 0, max: 8 }), fc.nat(), (length, at, salt) => {
        const memory = Buffer.from(
          Array.from({ length: length + at }, (_, i) => Math.imul(i + salt, 2654435761) >>> 24),
        );
        const data = memory.subarray(at);
        expect(native.crc32c(data)).toBe(reference(data));
      }),
      { numRuns: 50 },
    );
  });

  it('goes on from the CRC of what came before', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), fc.nat(5000), (data, cut) => {
        const first = native.crc32c(data.subarray(0, cut));
        expect(native.crc32c(data.subarray(cut), first)).toBe(native.crc32c(data));
      }),
    );
  });

  it('gives the same off the event loop, for memory of an arena alone', async () => {
    const arena = native.createArena({ capacity: 64 * 1024 });
    const parts = Array.from({ length: 16 }, (_, i) => arena.view(i * 4096, 4096 - i).fill(i));
    expect(await Promise.all(parts.map((part) => native.crc32cOffLoop(part)))).toEqual(
      parts.map((part) => reference(part)),
    );
    await expect(native.crc32cOffLoop(Buffer.from(new ArrayBuffer(4096)))).rejects.toThrow(TypeError);
  });

  it('refuses what is not bytes', () => {
    // @ts-expect-error: a caller without types
    expect(() => native.crc32c('123456789')).toThrow(TypeError);
  });
});
