import { busyHeader } from './protocol.ts';
import type { TransferFailure } from './types.ts';

/** How an answer ended. `error` is absent when the whole piece has come. */
export interface Verdict {
  readonly error?: { readonly kind: TransferFailure; readonly reason: string };
  /** Whether the next request may go over the same connection. */
  readonly keepAlive: boolean;
}

/** Bytes of status line and headers. Our own server sends about 150. */
export const headLimit = 2048;
/** Bytes of the body that are read at once: few enough to be in the CPU's cache still when their checksum is made. */
const readSize = 256 * 1024;

/** CRC32C of `bytes`, going on from `seed`. */
export type Checksum = (bytes: Uint8Array, seed: number) => number;

const headEnd = Buffer.from('\r\n\r\n');
const statusPattern = /^HTTP\/1\.1 ([1-5][0-9]{2})(?: [\t\x20-\x7e]*)?$/;
/** RFC 9110 §5.1 (token), §5.5 (visible characters, spaces and tabs; no obs-text, which nobody has a reason to send). */
const fieldPattern = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t ]*([\t\x20-\x7e]*)$/;
const lengthPattern = /^(?:0|[1-9][0-9]{0,15})$/;

/**
 * Receives one answer to a request for a piece: the head into a small buffer, the body straight to its destination. Reads
 * into `nextBuffer()` and reports with `received`. Pure: no sockets, no clock. Everything that is not exactly a piece of the
 * expected length, or a plain refusal, ends it; nothing is ever written outside of the destination.
 */
export class Answer {
  readonly #head: Buffer;
  readonly #destination: Buffer;
  readonly #checksum: Checksum;
  #crc32c = 0;
  #headLength = 0;
  #bodyLength = 0;
  #inBody = false;
  #keepAlive = false;
  #verdict: Verdict | undefined;

  /** `head`: memory of `headLimit` bytes, free for this answer until its verdict. */
  constructor(head: Buffer, destination: Buffer, checksum: Checksum) {
    this.#head = head;
    this.#destination = destination;
    this.#checksum = checksum;
  }

  /** Of what has come of the body. */
  get crc32c(): number {
    return this.#crc32c;
  }

  /** Bytes that have come so far. */
  get bytes(): number {
    return this.#headLength + this.#bodyLength;
  }

  /** Where the next bytes have to go; never empty before the verdict. */
  nextBuffer(): Buffer {
    if (!this.#inBody) return this.#head.subarray(this.#headLength);
    return this.#destination.subarray(this.#bodyLength, this.#bodyLength + readSize);
  }

  /** `length` bytes have come into `nextBuffer()`. Returns the verdict once there is one. */
  received(length: number): Verdict | undefined {
    if (this.#verdict !== undefined) throw new Error('the answer has ended');
    if (this.#inBody) return this.#receivedBody(length);
    // The end of the head may lie across two reads.
    const searchFrom = Math.max(0, this.#headLength - (headEnd.length - 1));
    this.#headLength += length;
    const end = this.#head.subarray(0, this.#headLength).indexOf(headEnd, searchFrom);
    if (end === -1) {
      if (this.#headLength < this.#head.length) return undefined;
      return this.#fail('unreachable', `its answer's head is longer than ${headLimit} bytes`);
    }
    return this.#readHead(this.#head.toString('latin1', 0, end), end + headEnd.length);
  }

  #readHead(text: string, bodyStart: number): Verdict | undefined {
    const [statusLine = '', ...lines] = text.split('\r\n');
    const status = statusPattern.exec(statusLine)?.[1];
    const fields = readFields(lines);
    if (status === undefined || fields === undefined) return this.#fail('unreachable', 'its answer is not HTTP/1.1');
    if (fields.has('transfer-encoding')) return this.#fail('unreachable', 'it answers with a Transfer-Encoding');
    if (fields.has('content-encoding')) return this.#fail('unreachable', 'it answers with a Content-Encoding');
    const length = fields.get('content-length') ?? '';
    if (!lengthPattern.test(length)) return this.#fail('unreachable', 'its answer has no valid Content-Length');
    this.#keepAlive = fields.get('connection')?.toLowerCase() !== 'close';

    if (status !== '200') return this.#refused(status, fields, Number(length), bodyStart);
    const expected = this.#destination.length;
    if (Number(length) !== expected) return this.#fail('corrupt', `it has ${length} bytes for a piece of ${expected}`);
    const early = this.#headLength - bodyStart;
    if (early > expected) return this.#fail('corrupt', `it sends more than the ${expected} bytes that it announced`);
    this.#head.copy(this.#destination, 0, bodyStart, this.#headLength);
    this.#headLength = bodyStart;
    this.#inBody = true;
    return this.#receivedBody(early);
  }

  #refused(status: string, fields: ReadonlyMap<string, string>, length: number, bodyStart: number): Verdict {
    // What refuses with a body isn't worth reading it: the next request takes another connection.
    this.#keepAlive &&= length === 0 && bodyStart === this.#headLength;
    if (status === '404') return this.#end('absent', 'it does not have the piece');
    if (status === '503' && fields.has(busyHeader.toLowerCase())) return this.#end('busy', 'no upload slot is free');
    return this.#fail('unreachable', `it answers with status ${status}`);
  }

  #receivedBody(length: number): Verdict | undefined {
    const fresh = this.#destination.subarray(this.#bodyLength, this.#bodyLength + length);
    this.#crc32c = this.#checksum(fresh, this.#crc32c);
    this.#bodyLength += length;
    if (this.#bodyLength < this.#destination.length) return undefined;
    this.#verdict = { keepAlive: this.#keepAlive };
    return this.#verdict;
  }

  #fail(kind: TransferFailure, reason: string): Verdict {
    this.#keepAlive = false;
    return this.#end(kind, reason);
  }

  #end(kind: TransferFailure, reason: string): Verdict {
    this.#verdict = { error: { kind, reason }, keepAlive: this.#keepAlive };
    return this.#verdict;
  }
}

/** Header fields by lower-case name; undefined when a line is none, or when a name comes twice. */
function readFields(lines: readonly string[]): ReadonlyMap<string, string> | undefined {
  const fields = new Map<string, string>();
  for (const line of lines) {
    const [, name, value] = fieldPattern.exec(line) ?? [];
    if (name === undefined || value === undefined) return undefined;
    const key = name.toLowerCase();
    if (fields.has(key)) return undefined;
    fields.set(key, value.trimEnd());
  }
  return fields;
}
