import { integer } from './http2-frames.ts';

/** A field of bytes, text or a message, by hand: tag, length, content. */
export function field(number: number, content: string | Buffer): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
}

/** HPACK's integer without a prefix is protobuf's varint. */
function varint(value: number): Buffer {
  return integer(0, 0, value).subarray(1);
}
