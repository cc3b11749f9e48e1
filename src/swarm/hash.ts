/** Two independent 32-bit words: as good as a 64-bit hash, and cheap where BigInt is not. */
export interface Hash {
  readonly high: number;
  readonly low: number;
}

/** Odd constants from the fractions of the golden ratio and of the square roots of 3 and 5. */
const phi = 0x9e3779b1;
const root3 = 0xbb67ae85;
const root5 = 0x3c6ef373;

/** Every input bit changes every output bit with a probability close to one half (xor-shift-multiply, as in MurmurHash3). */
function mix(word: number): number {
  let x = word ^ (word >>> 16);
  x = Math.imul(x, 0x85ebca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2ae35);
  return x ^ (x >>> 16);
}

/** Hashes a string by its UTF-16 code units: the same on every node. Not cryptographic. */
export function hashString(text: string): Hash {
  let high = root3 ^ text.length;
  let low = root5;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    high = Math.imul(high ^ unit, phi);
    high ^= high >>> 15;
    low = Math.imul(low, 33) ^ Math.imul(unit + phi, root3);
    low ^= low >>> 13;
  }
  return { high: mix(high ^ low), low: mix(Math.imul(low, phi) ^ high) };
}

/** The hash of a string's hash and a number: a blob's bucket, for instance. */
export function hashWith(hash: Hash, value: number): Hash {
  const salt = mix(Math.imul(value + 1, phi));
  return { high: mix(hash.high ^ salt), low: mix(Math.imul(hash.low ^ salt, root3)) };
}

/** How strongly a key is drawn to a member, in [0, 2^53): compared, never stored. */
export function affinity(member: Hash, key: Hash): number {
  const high = mix(member.high ^ Math.imul(key.high, phi));
  const low = mix((member.low + key.low) ^ Math.imul(high, root5));
  return (mix(high ^ low) >>> 0) * 0x20_0000 + (low >>> 11);
}
