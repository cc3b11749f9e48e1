import type { Appetite, HttpHeaders, HttpReader, HttpRequest } from './exchange.ts';
import { describeRequest, statusFailure } from './failure.ts';
import type { RegistryError } from './types.ts';

/** Takes an answer's body into memory, up to a limit; `truncated` tells that there was more. The last answer counts. */
export class BodyCollector implements HttpReader {
  readonly #limit: number;
  #chunks: Buffer[] = [];
  #length = 0;
  status = 0;
  headers: HttpHeaders = {};
  truncated = false;

  /** `limit` in bytes. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get body(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** The one value of a header, undefined when there is none or more than one. */
  header(name: string): string | undefined {
    return singleHeader(this.headers, name);
  }

  onHeaders(status: number, headers: HttpHeaders): Appetite {
    this.status = status;
    this.headers = headers;
    this.#chunks = [];
    this.#length = 0;
    this.truncated = false;
    return 'more';
  }

  onData(chunk: Buffer): Appetite {
    const room = this.#limit - this.#length;
    this.truncated = chunk.length > room;
    const taken = this.truncated ? chunk.subarray(0, room) : chunk;
    // A copy: the connection reads its next bytes into the same memory.
    this.#chunks.push(Buffer.from(taken));
    this.#length += taken.length;
    return this.truncated ? 'enough' : 'more';
  }
}

/** Error bodies are a line of JSON; HTML pages of proxies are cut off. */
const maxErrorBytes = 16 * 1024;

/** Passes a success on to the reader; keeps everything else for itself. */
export class SuccessGate implements HttpReader {
  readonly #reader: HttpReader;
  refusal: BodyCollector | undefined;
  /** Whether the reader was given a success. */
  passed = false;

  constructor(reader: HttpReader) {
    this.#reader = reader;
  }

  onHeaders(status: number, headers: HttpHeaders): Appetite {
    if (status >= 200 && status < 300) {
      this.passed = true;
      return this.#reader.onHeaders(status, headers);
    }
    this.refusal = new BodyCollector(maxErrorBytes);
    return this.refusal.onHeaders(status, headers);
  }

  onData(chunk: Buffer): Appetite | Promise<Appetite> {
    return (this.refusal ?? this.#reader).onData(chunk);
  }
}

/** What a refusal means; `request` is the one that got it. */
export function refusalError({ method, url }: HttpRequest, refusal: BodyCollector): RegistryError {
  const { status, body } = refusal;
  const answer = { status, retryAfter: refusal.header('retry-after'), body: body.toString('utf8') };
  return statusFailure(describeRequest(method, url), answer, Date.now());
}

/** The one value of a header, undefined when there is none or more than one. `name` in lower case. */
export function singleHeader(headers: HttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}
