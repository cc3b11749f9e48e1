import { constants } from 'node:buffer';
import { addon } from './addon.ts';
import { systemError } from './system-error.ts';
import type { Arena, ArenaOptions } from './types.ts';

/** What O_DIRECT asks of addresses, offsets and lengths, and what `discard` can give back. */
export const blockAlignment = 4096;

class MappedArena implements Arena {
  readonly capacity: number;
  #memory: ArrayBuffer | undefined;

  constructor(memory: ArrayBuffer) {
    this.capacity = memory.byteLength;
    this.#memory = memory;
  }

  view(offset: number, length: number): Buffer {
    const memory = this.#open();
    this.#checkRange(offset, length);
    return Buffer.from(memory, offset, length);
  }

  discard(offset: number, length: number): void {
    const memory = this.#open();
    this.#checkRange(offset, length);
    if (offset % blockAlignment !== 0 || length % blockAlignment !== 0) {
      throw new RangeError(`discard(${offset}, ${length}): both must be multiples of ${blockAlignment}`);
    }
    addon().discard(memory, offset, length);
  }

  close(): void {
    this.#memory = undefined;
  }

  #open(): ArrayBuffer {
    if (this.#memory === undefined) throw new Error('the arena is closed');
    return this.#memory;
  }

  #checkRange(offset: number, length: number): void {
    const valid = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
    if (!valid || offset + length > this.capacity) {
      throw new RangeError(`[${offset}, ${offset} + ${length}) is not a range of an arena of ${this.capacity} bytes`);
    }
  }
}

/**
 * Reserves `capacity` bytes of address space (a multiple of 4096); memory is taken as it is touched.
 * @throws RangeError for an impossible capacity, Error with code ENOMEM when the address space cannot be had.
 */
export function createArena({ capacity, hugePages = false }: ArenaOptions): Arena {
  if (!Number.isSafeInteger(capacity) || capacity <= 0 || capacity % blockAlignment !== 0) {
    throw new RangeError(`an arena's capacity must be a positive multiple of ${blockAlignment}, not ${capacity}`);
  }
  if (capacity > constants.MAX_LENGTH) {
    throw new RangeError(`an arena of ${capacity} bytes: this Node addresses at most ${constants.MAX_LENGTH}`);
  }
  let memory: ArrayBuffer;
  try {
    memory = addon().createArena(capacity, hugePages);
  } catch (error) {
    throw systemError(error, `cannot reserve ${capacity} bytes of memory`);
  }
  // Not marked as untransferable: Node 24 detaches external memory at its end, which then fails and aborts the process.
  return new MappedArena(memory);
}
