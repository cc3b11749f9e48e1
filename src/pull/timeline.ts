import { type ByteSource, byteSources } from './observer.ts';

/** Bytes by source over time. */
export interface TimelineView {
  /** Milliseconds that a bin stands for. */
  readonly binMs: number;
  /** By source, the bytes of each bin from the begin on; sources without bytes are left out. */
  readonly bytes: Partial<Record<ByteSource, readonly number[]>>;
}

const bins = 32;
/** Milliseconds of a bin at first; doubled as often as the time that has passed makes it necessary. */
const firstBinMs = 8;

/** Bytes by source over time, in the same few bins however long it takes. */
export class Timeline {
  #binMs = firstBinMs;
  readonly #bytes = new Float64Array(bins * byteSources.length);

  /** `atMs`: milliseconds since the begin. */
  add(atMs: number, source: ByteSource, bytes: number): void {
    const at = Math.max(0, atMs);
    while (at >= this.#binMs * bins) this.#fold();
    const cell = byteSources.indexOf(source) * bins + Math.floor(at / this.#binMs);
    this.#bytes[cell] = (this.#bytes[cell] ?? 0) + bytes;
  }

  view(): TimelineView {
    const bytes: Partial<Record<ByteSource, readonly number[]>> = {};
    for (const [row, source] of byteSources.entries()) {
      const cells = this.#bytes.subarray(row * bins, (row + 1) * bins);
      const last = cells.findLastIndex((value) => value > 0);
      if (last >= 0) bytes[source] = [...cells.subarray(0, last + 1)];
    }
    return { binMs: this.#binMs, bytes };
  }

  /** Two bins become one. */
  #fold(): void {
    this.#binMs *= 2;
    for (let row = 0; row < this.#bytes.length; row += bins) {
      for (let bin = 0; bin < bins; bin += 1) {
        const pair = bin < bins / 2 ? row + 2 * bin : -1;
        this.#bytes[row + bin] = pair < 0 ? 0 : (this.#bytes[pair] ?? 0) + (this.#bytes[pair + 1] ?? 0);
      }
    }
  }
}
