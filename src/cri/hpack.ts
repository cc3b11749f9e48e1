import { dashSlashes } from './huffman.ts';

/** The static table's index of `:authority` (RFC 7541, appendix A). */
const authorityIndex = 1;
/** Integers of more bytes than this are beyond every length that can occur (RFC 7541, section 5.1). */
const maximumIntegerBytes = 5;

const slash = 0x2f;
const dash = 0x2d;

/**
 * Puts `-` in the place of each `/` of the `:authority` literals of a header block (RFC 7541, section 6.2), in place.
 *
 * Kubelets up to 1.30 send the socket's path as the authority, which is no valid host: nghttp2 refuses the stream. A
 * `/` and a `-` are equally long, plain and Huffman-coded, so the block keeps its length and the client's dynamic table
 * and ours stay of one size: later requests, which only name the table's entry, get the mended value too.
 *
 * A block that is no valid HPACK is left from there on as it is, for nghttp2 to refuse.
 */
export function mendAuthority(block: Uint8Array): void {
  let at = 0;
  while (at < block.length) {
    const first = block[at] ?? 0;
    // The shapes of section 6: an indexed field, a change of the table's size, or one of the three kinds of literal.
    const indexed = (first & 0x80) !== 0;
    const sizeUpdate = (first & 0xe0) === 0x20;
    const prefixBits = indexed ? 7 : (first & 0xc0) === 0x40 ? 6 : sizeUpdate ? 5 : 4;
    const index = readInteger(block, at, prefixBits);
    if (index === undefined) return;
    at = index.end;
    if (indexed || sizeUpdate) continue;
    if (index.value === 0) {
      const name = readString(block, at);
      if (name === undefined) return;
      at = name.end;
    }
    const value = readString(block, at);
    if (value === undefined) return;
    if (index.value === authorityIndex) mendString(block.subarray(value.start, value.end), value.huffman);
    at = value.end;
  }
}

function mendString(value: Uint8Array, huffman: boolean): void {
  if (huffman) {
    dashSlashes(value);
    return;
  }
  for (let at = value.indexOf(slash); at !== -1; at = value.indexOf(slash, at + 1)) value[at] = dash;
}

function readString(
  block: Uint8Array,
  at: number,
): { readonly start: number; readonly end: number; readonly huffman: boolean } | undefined {
  const length = readInteger(block, at, 7);
  if (length === undefined) return undefined;
  const end = length.end + length.value;
  if (end > block.length) return undefined;
  return { start: length.end, end, huffman: ((block[at] ?? 0) & 0x80) !== 0 };
}

/** RFC 7541, section 5.1. `undefined` when the block ends inside of the integer or the integer is absurdly long. */
function readInteger(
  block: Uint8Array,
  at: number,
  prefixBits: number,
): { readonly value: number; readonly end: number } | undefined {
  if (at >= block.length) return undefined;
  const limit = 2 ** prefixBits - 1;
  let value = (block[at] ?? 0) & limit;
  if (value < limit) return { value, end: at + 1 };
  for (let count = 1; count <= maximumIntegerBytes; count += 1) {
    const byte = block[at + count];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * 2 ** (7 * (count - 1));
    if ((byte & 0x80) === 0) return { value, end: at + count + 1 };
  }
  return undefined;
}
