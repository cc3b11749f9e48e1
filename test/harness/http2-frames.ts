/** HTTP/2 frames and HPACK by hand: what Node's own client refuses to send. */

export const frameTypes = { data: 0x0, headers: 0x1, rstStream: 0x3, settings: 0x4, ping: 0x6, continuation: 0x9 };
export const frameFlags = { endStream: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 };

export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

export function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

/** Codes of RFC 7541, appendix B, as [code, bits]: every character that the tests put into a Huffman-coded string. */
const huffmanCodes = new Map<string, readonly [number, number]>([
  ...consecutive('012aceiost', 0x0, 5),
  ...consecutive(' %-./3456789=A_bdfghlmnpru', 0x14, 6),
  ...consecutive(':BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz', 0x5c, 7),
  ...consecutive('&*,;XZ', 0xf8, 8),
  ...consecutive('!"()?', 0x3f8, 10),
  ...consecutive("'+|", 0x7fa, 11),
  ...consecutive('#>', 0xffa, 12),
  ...consecutive('\0$@[]~', 0x1ff8, 13),
  ...consecutive('^}', 0x3ffc, 14),
  ...consecutive('<`{', 0x7ffc, 15),
  ...consecutive('\\', 0x7fff0, 19),
  ...consecutive('\x01', 0x7fffd8, 23),
  ...consecutive('\t', 0xffffea, 24),
  ...consecutive('\x02\x03\x04\x05\x06\x07\b\x0b\f', 0xfffffe2, 28),
  ...consecutive('\n\r\x16', 0x3ffffffc, 30),
]);

export const huffmanAlphabet: readonly string[] = [...huffmanCodes.keys()];

function consecutive(characters: string, first: number, bits: number): Array<[string, readonly [number, number]]> {
  return [...characters].map((character, index) => [character, [first + index, bits]]);
}

export function huffman(text: string): Buffer {
  let bits = '';
  for (const character of text) {
    const code = huffmanCodes.get(character);
    if (code === undefined) throw new Error(`no Huffman code for ${JSON.stringify(character)} in this table`);
    bits += code[0].toString(2).padStart(code[1], '0');
  }
  bits = bits.padEnd(Math.ceil(bits.length / 8) * 8, '1');
  return Buffer.from(
    Array.from({ length: bits.length / 8 }, (_, at) => Number.parseInt(bits.slice(at * 8, at * 8 + 8), 2)),
  );
}

/** RFC 7541, section 5.1: an integer behind the bits of `first`. */
export function integer(first: number, prefixBits: number, value: number): Buffer {
  const limit = 2 ** prefixBits - 1;
  if (value < limit) return Buffer.from([first | value]);
  const bytes = [first | limit];
  let rest = value - limit;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Buffer.from([...bytes, rest]);
}

export function string(text: string, coding: 'plain' | 'huffman'): Buffer {
  const bytes = coding === 'huffman' ? huffman(text) : Buffer.from(text, 'latin1');
  return Buffer.concat([integer(coding === 'huffman' ? 0x80 : 0, 7, bytes.length), bytes]);
}

/** The kinds of literal of section 6.2, as [first bits, bits of the name's index]. */
export const literalKinds = { indexed: [0x40, 6], plain: [0x00, 4], never: [0x10, 4] } as const;

/** A literal whose name is a table's entry (a number) or is spelt out. */
export function literal(
  name: number | string,
  value: string,
  kind: keyof typeof literalKinds = 'indexed',
  coding: 'plain' | 'huffman' = 'plain',
): Buffer {
  const [bits, prefix] = literalKinds[kind];
  const index = integer(bits, prefix, typeof name === 'number' ? name : 0);
  return Buffer.concat([index, ...(typeof name === 'number' ? [] : [string(name, coding)]), string(value, coding)]);
}

export function indexed(index: number): Buffer {
  return integer(0x80, 7, index);
}
