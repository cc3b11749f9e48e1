import { createCipheriv, createHash } from 'node:crypto';

/** Bytes that look random and are the same for the same seed, at a few GB/s: AES-CTR's key stream. */
export class SeededBytes {
  readonly #stream;

  constructor(seed: string) {
    const key = createHash('sha256').update(seed).digest();
    this.#stream = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  }

  bytes(length: number): Buffer {
    return this.#stream.update(Buffer.alloc(length));
  }

  /** An integer of [0, limit). */
  below(limit: number): number {
    return this.bytes(4).readUInt32LE() % limit;
  }
}

const words = (
  'the of container image layer registry node digest manifest error return const import package version license ' +
  'file config string buffer static void include define struct module export function async await http server ' +
  'client request response header body length offset range index cache store memory disk'
).split(' ');

const longestWord = 16;
const space = 0x20;
const newline = 0x0a;

/** Text of the kind that sources, configuration and documentation are: compresses to about a quarter. */
export function textBytes(seed: SeededBytes, length: number): Buffer {
  const text = Buffer.alloc(length + longestWord + 1);
  const picks = seed.bytes(length);
  let at = 0;
  for (let pick = 0; at < length; pick += 1) {
    at += text.write(words[(picks[pick] ?? 0) % words.length] ?? '', at, 'latin1');
    text[at] = pick % 12 === 11 ? newline : space;
    at += 1;
  }
  return text.subarray(0, length);
}

/** Bytes of the kind that programs and libraries are: recurring instructions between addresses; compresses to about a half. */
export function programBytes(seed: SeededBytes, length: number): Buffer {
  const instructions = Array.from({ length: 256 }, () => seed.bytes(16));
  const bytes = seed.bytes(length);
  const picks = seed.bytes(Math.ceil(length / 32));
  for (let at = 0, pick = 0; at + 16 <= length; at += 32, pick += 1) {
    instructions[picks[pick] ?? 0]?.copy(bytes, at);
  }
  return bytes;
}
