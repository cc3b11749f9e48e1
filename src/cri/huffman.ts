/**
 * How many of HPACK's Huffman codes have each length, in bits, as [length, count] (RFC 7541, appendix B; EOS included).
 * The code is canonical: codes of one length are consecutive numbers, so the counts alone say where a code ends.
 */
export const codeCounts: readonly (readonly [length: number, count: number])[] = [
  [5, 10],
  [6, 26],
  [7, 32],
  [8, 6],
  [10, 5],
  [11, 3],
  [12, 2],
  [13, 6],
  [14, 2],
  [15, 3],
  [19, 3],
  [20, 8],
  [21, 13],
  [22, 26],
  [23, 29],
  [24, 12],
  [25, 4],
  [26, 15],
  [27, 19],
  [28, 29],
  [30, 4],
];

/** By length, the number that follows the last code of that length; 0 for lengths without codes. */
const codeEnds: readonly number[] = (() => {
  const ends: number[] = new Array(31).fill(0);
  let next = 0;
  let previous = 0;
  for (const [length, count] of codeCounts) {
    next = next * 2 ** (length - previous) + count;
    ends[length] = next;
    previous = length;
  }
  return ends;
})();

const maximumLength = codeEnds.length - 1;

/** Both 6 bits long (RFC 7541, appendix B), so one can stand in the other's place. */
const slash = 0x18;
const dash = 0x16;
const slashLength = 6;

/**
 * Puts `-` in the place of each `/` of a Huffman-coded string, in place. Neither the coded nor the decoded length
 * changes. What is no valid code is left as it is, for the decoder to refuse. Returns whether there was a `/`.
 */
export function dashSlashes(coded: Uint8Array): boolean {
  let code = 0;
  let length = 0;
  let found = false;
  for (let bit = 0; bit < coded.length * 8; bit += 1) {
    code = code * 2 + (((coded[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1);
    length += 1;
    if (length > maximumLength) return found;
    if (code >= (codeEnds[length] ?? 0)) continue;
    if (length === slashLength && code === slash) {
      flip(coded, bit - slashLength + 1, slash ^ dash);
      found = true;
    }
    code = 0;
    length = 0;
  }
  return found;
}

/** Flips the bits of `mask`, `slashLength` bits wide, which stands at bit `start`. */
function flip(bytes: Uint8Array, start: number, mask: number): void {
  const at = start >> 3;
  const wide = mask << (16 - slashLength - (start & 7));
  bytes[at] = (bytes[at] ?? 0) ^ (wide >> 8);
  if ((wide & 0xff) !== 0) bytes[at + 1] = (bytes[at + 1] ?? 0) ^ (wide & 0xff);
}
