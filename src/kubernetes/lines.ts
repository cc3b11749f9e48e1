import { KubernetesError } from './types.ts';

const newline = 0x0a;

/** Cuts a stream of bytes into lines, none longer than a bound. */
export class LineSplitter {
  readonly #longest: number;
  #parts: Buffer[] = [];
  #length = 0;

  /** `longest` in bytes, without the newline. */
  constructor(longest: number) {
    this.#longest = longest;
  }

  /** The lines that `chunk` completes, empty ones left out. Throws a `KubernetesError` of kind `invalid`. */
  push(chunk: Buffer): string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      this.#take(chunk.subarray(start, end));
      const line = Buffer.concat(this.#parts, this.#length).toString('utf8').trim();
      if (line !== '') lines.push(line);
      this.#parts = [];
      this.#length = 0;
      start = end + 1;
    }
    if (start < chunk.length) this.#take(chunk.subarray(start));
    return lines;
  }

  #take(part: Buffer): void {
    this.#length += part.length;
    if (this.#length > this.#longest) {
      throw new KubernetesError('invalid', `a line of the watch is longer than ${this.#longest} bytes`);
    }
    this.#parts.push(part);
  }
}
