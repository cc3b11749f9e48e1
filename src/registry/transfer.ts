import { singleHeader } from './answer.ts';
import type { Appetite, HttpHeaders, HttpReader } from './exchange.ts';
import { type BlobOptions, type ByteRange, RegistryError } from './types.ts';

/**
 * The state of one range's way from the registry to its consumer, over as many connections as it takes. Pure but for
 * `onData`: `next` says what to ask for, `reader` takes one answer in.
 */
export class RangeTransfer {
  readonly #size: number;
  readonly #onData: BlobOptions['onData'];
  readonly #description: string;
  readonly #onProgress: () => void;
  readonly #end: number;
  #offset: number;
  ranged = true;
  wireBytes = 0;

  /**
   * `description` names the blob in messages; `onProgress` is called for every chunk that brings something new, and when
   * that was digested.
   */
  constructor(options: Pick<BlobOptions, 'range' | 'size' | 'onData'>, description: string, onProgress: () => void) {
    const { start, end } = options.range;
    const { size } = options;
    if (![start, end, size].every(Number.isSafeInteger) || start < 0 || end < start || end > size) {
      throw new RangeError(`bytes ${start} to ${end} are no range of a blob of ${size} bytes`);
    }
    this.#size = size;
    this.#onData = options.onData;
    this.#description = description;
    this.#onProgress = onProgress;
    this.#offset = start;
    this.#end = end;
  }

  /** What is missing; undefined when everything is there. */
  get missing(): ByteRange | undefined {
    return this.#offset < this.#end ? { start: this.#offset, end: this.#end } : undefined;
  }

  /** The `Range` header for what is missing; undefined when that is the whole blob. */
  get rangeHeader(): string | undefined {
    if (this.#offset === 0 && this.#end === this.#size) return undefined;
    return `bytes=${this.#offset}-${this.#end - 1}`;
  }

  /** Takes the answer to a request with `rangeHeader` in. Throws `RegistryError`s of kind `invalid`. */
  reader(): HttpReader {
    let position = 0;
    let bodyEnd = 0;
    return {
      onHeaders: (status, headers) => {
        const body = this.#bodyRange(status, headers);
        position = body.start;
        bodyEnd = body.end;
        return 'more';
      },
      onData: (chunk) => {
        const start = position;
        position += chunk.length;
        this.wireBytes += chunk.length;
        if (position > bodyEnd) throw this.#invalid(`more than the ${bodyEnd} bytes that were announced`);
        return this.#deliver(chunk, start, position < bodyEnd);
      },
    };
  }

  /** Hands on what is wanted of a chunk that begins at byte `start` of the blob. */
  #deliver(chunk: Buffer, start: number, moreToCome: boolean): Appetite | Promise<Appetite> {
    const from = Math.max(0, this.#offset - start);
    const to = Math.min(chunk.length, this.#end - start);
    if (from >= to) return 'more';
    this.#offset = start + to;
    this.#onProgress();
    // Only a registry that ignores ranges has more than was asked for: not worth its bytes.
    const appetite = this.#offset === this.#end && moreToCome ? 'enough' : 'more';
    const digested = this.#onData(from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to));
    if (digested === undefined) return appetite;
    return digested.then(() => {
      // The time that the consumer took is not the registry's: it may have hung up meanwhile, and is asked again.
      this.#onProgress();
      return appetite;
    });
  }

  /** Which bytes of the blob an answer carries, checked against what was asked for. */
  #bodyRange(status: number, headers: HttpHeaders): ByteRange {
    const encoding = singleHeader(headers, 'content-encoding');
    if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
      throw this.#invalid(`content encoding ${encoding}, which was not asked for`);
    }
    const body = status === 206 ? this.#partialBody(headers) : this.#wholeBody(status);
    const length = singleHeader(headers, 'content-length');
    if (length !== undefined && Number(length) !== body.end - body.start) {
      throw this.#invalid(`Content-Length ${length} instead of ${body.end - body.start}`);
    }
    return body;
  }

  #wholeBody(status: number): ByteRange {
    if (status !== 200) throw this.#invalid(`status ${status}, which is no answer to a GET of a blob`);
    if (this.rangeHeader !== undefined) this.ranged = false;
    return { start: 0, end: this.#size };
  }

  #partialBody(headers: HttpHeaders): ByteRange {
    const value = singleHeader(headers, 'content-range') ?? '';
    const match = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16}|\*)$/i.exec(value.trim());
    if (match === null) throw this.#invalid(`a 206 without one usable Content-Range (${JSON.stringify(value)})`);
    const [, first, last, total] = match;
    const start = Number(first);
    const end = Number(last) + 1;
    if (total !== '*' && Number(total) !== this.#size) {
      throw this.#invalid(`a size of ${total} bytes instead of ${this.#size}`);
    }
    // Less than asked for is allowed (RFC 9110 section 15.3.7): the rest is asked for again.
    if (start !== this.#offset || end <= start || end > this.#end) {
      throw this.#invalid(`Content-Range ${value} to a request for ${this.#offset}-${this.#end - 1}`);
    }
    return { start, end };
  }

  #invalid(cause: string): RegistryError {
    return new RegistryError('invalid', `${this.#description}: the registry answered with ${cause}`);
  }
}
