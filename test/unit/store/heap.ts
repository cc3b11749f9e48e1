import type { Arena } from '../../../src/native/types.ts';

/** An arena on the JS heap, for tests that need no addon. It notes what was given back. */
export class HeapArena implements Arena {
  readonly capacity: number;
  readonly discarded: { offset: number; length: number }[] = [];
  closed = false;
  readonly #memory: Buffer;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#memory = Buffer.alloc(capacity);
  }

  view(offset: number, length: number): Buffer {
    return this.#memory.subarray(offset, offset + length);
  }

  discard(offset: number, length: number): void {
    this.discarded.push({ offset, length });
  }

  close(): void {
    this.closed = true;
  }
}
