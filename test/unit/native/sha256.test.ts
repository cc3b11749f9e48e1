import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { native } from '../../../src/native/index.ts';

function expected(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

async function hashed(chunks: readonly Uint8Array[]): Promise<string> {
  const hash = native.createSha256();
  for (const chunk of chunks) void hash.update(chunk);
  return hash.digest();
}

describe('SHA-256', () => {
  it.each([
    ['', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
    ['abc', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
    [
      'abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq',
      '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1',
    ],
  ])('gives the value of FIPS 180 for "%s"', async (text, digest) => {
    expect(await hashed([Buffer.from(text)])).toBe(digest);
  });

  it('agrees with node:crypto at every length around the padding', async () => {
    const data = Buffer.from(Array.from({ length: 260 }, (_, i) => i * 31));
    for (let length = 0; length <= data.length; length++) {
      expect(await hashed([data.subarray(0, length)])).toBe(expected(data.subarray(0, length)));
    }
  });

  it('is computed on threads that leave a busy processor to others', async () => {
    await hashed([Buffer.alloc(1)]);
    const threads = readdirSync('/proc/self/task').filter(
      (id) => readFileSync(`/proc/self/task/${id}/comm`, 'utf8').trim() === 'shoal-hash',
    );
    expect(threads.length).toBeGreaterThan(0);
    for (const id of threads) expect(getPriority(Number(id))).toBe(Math.min(getPriority() + 15, 19));
  });

  it('does not care how the bytes are cut into chunks', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }), async (chunks) => {
        expect(await hashed(chunks)).toBe(expected(Buffer.concat(chunks)));
      }),
    );
  });

  it('keeps the order of the chunks of each of many hashes at once', async () => {
    const blobs = Array.from({ length: 16 }, (_, blob) =>
      Array.from({ length: 40 }, (_, i) => Buffer.alloc(1 + ((i * 7919) % 5000), blob * 41 + i)),
    );
    const hashes = blobs.map(() => native.createSha256());
    for (let i = 0; i < 40; i++) {
      for (const [blob, chunks] of blobs.entries()) void hashes[blob]?.update(chunks[i] ?? Buffer.alloc(0));
    }
    const digests = await Promise.all(hashes.map((hash) => hash.digest()));
    expect(digests).toEqual(blobs.map((chunks) => expected(Buffer.concat(chunks))));
  });

  it('resolves each update once its bytes are read, so that the memory may be used again', async () => {
    const memory = Buffer.alloc(1 << 20);
    const hash = native.createSha256();
    const reference = createHash('sha256');
    for (let round = 0; round < 10; round++) {
      memory.fill(round);
      reference.update(memory);
      await hash.update(memory);
    }
    expect(await hash.digest()).toBe(reference.digest('hex'));
  });

  it('leaves the event loop free while it hashes', async () => {
    const hash = native.createSha256();
    const order: string[] = [];
    const update = hash.update(Buffer.alloc(16 << 20)).then(() => order.push('hashed'));
    setImmediate(() => order.push('loop'));
    await update;
    expect(order).toEqual(['loop', 'hashed']);
  });

  it('ends with digest', async () => {
    const hash = native.createSha256();
    await hash.digest();
    await expect(hash.update(Buffer.alloc(1))).rejects.toThrow('the hash has ended');
    await expect(hash.digest()).rejects.toThrow('the hash has ended');
  });

  it('refuses what is not bytes', async () => {
    // @ts-expect-error: a caller without types
    await expect(native.createSha256().update('abc')).rejects.toThrow(TypeError);
  });
});
