/**
 * As much of DER (ITU-T X.690) as a certificate needs: it is written here, and read and checked by OpenSSL in Node. Only the
 * outline of a certificate is walked through, to copy its subject.
 */

const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Tag, length and content. */
export function element(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.of(tag, content.length), content]);
  const digits = Buffer.alloc(4);
  digits.writeUInt32BE(content.length);
  const length = digits.subarray(digits.findIndex((byte) => byte !== 0));
  return Buffer.concat([Buffer.of(tag, 0x80 | length.length), length, content]);
}

export const sequence = (...parts: readonly Uint8Array[]): Buffer => element(tags.sequence, ...parts);
export const setOf = (part: Uint8Array): Buffer => element(tags.set, part);
export const octetString = (content: Uint8Array): Buffer => element(tags.octetString, content);
export const utf8String = (text: string): Buffer => element(tags.utf8String, Buffer.from(text));
export const booleanTrue = element(tags.boolean, Buffer.of(0xff));

/** A whole number of bits, or, with `unused`, all but the last few. */
export function bitString(content: Uint8Array, unused = 0): Buffer {
  return element(tags.bitString, Buffer.of(unused), content);
}

/** A number that is not negative, big-endian. */
export function integer(magnitude: Uint8Array): Buffer {
  const start = magnitude.findIndex((byte) => byte !== 0);
  const digits = start === -1 ? Buffer.of(0) : magnitude.subarray(start);
  // A first bit of 1 would make it negative.
  return element(tags.integer, (digits[0] ?? 0) >= 0x80 ? Buffer.of(0) : Buffer.alloc(0), digits);
}

/** `[number]` of a context, constructed (RFC 5280 writes EXPLICIT tags so) or around plain content (IMPLICIT). */
export function tagged(number: number, content: Uint8Array, constructed: boolean): Buffer {
  return element(0x80 | (constructed ? 0x20 : 0) | number, content);
}

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return element(tags.oid, Buffer.from([first * 40 + second, ...rest].flatMap(base128)));
}

function base128(value: number): number[] {
  const digits = [value % 128];
  for (let left = Math.floor(value / 128); left > 0; left = Math.floor(left / 128)) digits.unshift(0x80 | (left % 128));
  return digits;
}

/** UTCTime until 2049, GeneralizedTime after that (RFC 5280 §4.1.2.5); whole seconds. */
export function time(date: Date): Buffer {
  const digits = date.toISOString().replaceAll(/[-:T]|\.\d+Z$/g, '');
  const [tag, text] = date.getUTCFullYear() < 2050 ? [tags.utcTime, digits.slice(2)] : [tags.generalizedTime, digits];
  return element(tag, Buffer.from(`${text}Z`));
}

/** The elements that follow each other in `bytes`, whole: tag, length and content. Throws where they don't end with it. */
export function elements(bytes: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + headerLength(bytes, at) + contentLength(bytes, at);
    if (!(end <= bytes.length)) throw new RangeError('not DER: an element is cut off');
    found.push(bytes.subarray(at, end));
    at = end;
  }
  return found;
}

/** What is inside of an element. */
export function content(whole: Buffer): Buffer {
  return whole.subarray(headerLength(whole, 0));
}

function headerLength(bytes: Buffer, at: number): number {
  const first = bytes[at + 1] ?? Number.NaN;
  return first < 0x80 ? 2 : 2 + (first & 0x7f);
}

function contentLength(bytes: Buffer, at: number): number {
  const first = bytes[at + 1] ?? Number.NaN;
  if (first < 0x80) return first;
  const digits = first & 0x7f;
  if (digits < 1 || digits > 4 || at + 2 + digits > bytes.length) return Number.NaN;
  return bytes.readUIntBE(at + 2, digits);
}
