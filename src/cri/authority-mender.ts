import { mendAuthority } from './hpack.ts';

/** The client's connection preface (RFC 9113, section 3.4): `PRI * HTTP/2.0`, an empty line, `SM`, an empty line. */
const prefaceLength = 24;
const frameHeaderLength = 9;

/** Frame types and flags of RFC 9113, section 6. */
export const headersType = 0x1;
const continuationType = 0x9;
const endHeadersFlag = 0x4;
const acknowledgement = Buffer.from([0, 0, 0, 4, 1, 0, 0, 0, 0]);
const paddedFlag = 0x8;
const priorityFlag = 0x20;
const priorityLength = 5;

/** nghttp2 refuses header blocks beyond 64 KiB by default: what is larger need not be held here to be mended. */
const maximumHeld = 128 * 1024;

/** A header block's part in one frame, as [start, end) of the held bytes. */
interface Fragment {
  readonly start: number;
  readonly end: number;
}

/**
 * Follows the bytes of one HTTP/2 client, cut anywhere, and mends `:authority` in its header blocks (`mendAuthority`).
 * Exactly as many bytes come out as go in, but for the first acknowledgement of SETTINGS where the caller has sent one of its own
 * (`acknowledgementDue`). Frames of a header block are held until the block is complete; all others pass at once, as views
 * of the chunk that they came in.
 */
export class AuthorityMender {
  /** Bytes to pass without looking: the preface, then the payloads of frames without headers. */
  #skip = prefaceLength;
  /** The beginning of a frame's header, or of a header block with its frames. */
  #held: Buffer = Buffer.alloc(0);
  #gaveUp = false;
  #acknowledgementDue: boolean;

  constructor({ acknowledgementDue = false } = {}) {
    this.#acknowledgementDue = acknowledgementDue;
  }

  /** Takes the next bytes and returns what may go on, in order. Writes into `chunk`, which the caller gives away. */
  push(chunk: Buffer): readonly Buffer[] {
    if (this.#gaveUp || chunk.length <= this.#skip) {
      if (!this.#gaveUp) this.#skip -= chunk.length;
      return [chunk];
    }
    const all = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const { bytes, passed } = this.#walk(all);
    this.#held = bytes.subarray(passed);
    if (this.#held.length <= maximumHeld) return passed === 0 ? [] : [bytes.subarray(0, passed)];
    this.#gaveUp = true;
    this.#held = Buffer.alloc(0);
    return [bytes];
  }

  /** Mends every complete header block of `all`. Returns the bytes, and how many of them may go on. */
  #walk(all: Buffer): { readonly bytes: Buffer; readonly passed: number } {
    let bytes = all;
    let at = Math.min(this.#skip, bytes.length);
    this.#skip -= at;
    while (bytes.length - at >= frameHeaderLength) {
      if (this.#acknowledgementDue && bytes.subarray(at, at + frameHeaderLength).equals(acknowledgement)) {
        this.#acknowledgementDue = false;
        bytes.copyWithin(at, at + frameHeaderLength);
        bytes = bytes.subarray(0, -frameHeaderLength);
        continue;
      }
      const isHeaders = bytes[at + 3] === headersType;
      const end = isHeaders ? mendHeaders(bytes, at) : at + frameHeaderLength + bytes.readUIntBE(at, 3);
      if (end === undefined) break;
      if (end > bytes.length) {
        this.#skip = end - bytes.length;
        return { bytes, passed: bytes.length };
      }
      at = end;
    }
    return { bytes, passed: at };
  }
}

/**
 * Mends the header block that begins with the HEADERS frame at `at`. Returns the end of its last frame; `undefined`
 * while the block is incomplete.
 */
export function mendHeaders(bytes: Buffer, at: number): number | undefined {
  const fragments: Fragment[] = [];
  for (let frame = at; bytes.length - frame >= frameHeaderLength; ) {
    const payload = frame + frameHeaderLength;
    const end = payload + bytes.readUIntBE(frame, 3);
    if (end > bytes.length) return undefined;
    const type = bytes[frame + 3];
    // Nothing but CONTINUATION may follow an unfinished block (section 6.10); nghttp2 will refuse what does.
    if (frame !== at && type !== continuationType) return frame;
    const flags = bytes[frame + 4] ?? 0;
    fragments.push(frame === at ? headersFragment(bytes, payload, end, flags) : { start: payload, end });
    if ((flags & endHeadersFlag) !== 0) {
      mendFragments(bytes, fragments);
      return end;
    }
    frame = end;
  }
  return undefined;
}

/** Where the block's part is in a HEADERS frame's payload (section 6.2). Empty when the lengths contradict each other. */
function headersFragment(bytes: Buffer, payload: number, end: number, flags: number): Fragment {
  const padded = (flags & paddedFlag) !== 0;
  const padding = padded && payload < end ? (bytes[payload] ?? 0) : 0;
  const start = payload + (padded ? 1 : 0) + ((flags & priorityFlag) === 0 ? 0 : priorityLength);
  return start > end - padding ? { start: end, end } : { start, end: end - padding };
}

function mendFragments(bytes: Buffer, fragments: readonly Fragment[]): void {
  const [only, ...rest] = fragments;
  if (only !== undefined && rest.length === 0) {
    mendAuthority(bytes.subarray(only.start, only.end));
    return;
  }
  const block = Buffer.concat(fragments.map(({ start, end }) => bytes.subarray(start, end)));
  mendAuthority(block);
  let taken = 0;
  for (const { start, end } of fragments) {
    block.copy(bytes, start, taken, taken + end - start);
    taken += end - start;
  }
}
