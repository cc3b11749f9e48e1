import { crc32 } from 'node:zlib';
import type { BlockDevice, BlockDeviceOptions, Native } from '../../../src/native/types.ts';
import { HeapArena } from './heap.ts';

/** What stays when a process dies: the content of each slab beyond its header, by path. */
export type Platters = Map<string, Buffer>;

/** What goes wrong, and when; a test changes it as it goes. */
export interface Faults {
  open?: string;
  read?: string;
  write?: string;
}

function failure(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}

/**
 * Stands in for the addon where a test needs a disk that fails, tears and loses: the slab's content lives in `platters`. Requests end
 * in later turns of the event loop and, like real ones, not in order.
 */
export class FakeNative implements Pick<Native, 'createArena' | 'crc32c' | 'crc32cOffLoop' | 'openBlockDevice'> {
  readonly platters: Platters;
  readonly faults: Faults = {};
  /** Writes that are under way: what a crash may tear. */
  readonly writing = new Set<{ readonly bytes: Buffer; readonly offset: number }>();
  reads = 0;

  constructor(platters: Platters = new Map()) {
    this.platters = platters;
  }

  createArena({ capacity }: { capacity: number }): HeapArena {
    return new HeapArena(capacity);
  }

  /** Any checksum will do here; this one is in Node. */
  crc32c(data: Uint8Array, seed = 0): number {
    return crc32(data, seed);
  }

  async crc32cOffLoop(data: Uint8Array): Promise<number> {
    return crc32(data);
  }

  async openBlockDevice({ path, capacity }: BlockDeviceOptions): Promise<BlockDevice> {
    if (this.faults.open) throw failure(this.faults.open);
    const platter = this.platters.get(path) ?? Buffer.alloc(capacity);
    this.platters.set(path, platter);
    const done = (turns: number) =>
      new Promise<void>((resolve) => {
        const wait = (left: number) => (left === 0 ? resolve() : setImmediate(() => wait(left - 1)));
        wait(turns);
      });
    let requests = 0;
    return {
      capacity,
      engine: 'pool',
      engineReason: 'a test',
      direct: false,
      read: async (buffer, offset) => {
        this.reads += 1;
        await done(1 + (requests++ % 3));
        if (this.faults.read) throw failure(this.faults.read);
        platter.copy(buffer, 0, offset, offset + buffer.length);
      },
      write: async (buffer, offset) => {
        const write = { bytes: buffer, offset };
        this.writing.add(write);
        await done(1 + (requests++ % 3));
        this.writing.delete(write);
        if (this.faults.write) throw failure(this.faults.write);
        buffer.copy(platter, offset);
      },
      sync: async () => {
        if (this.faults.write) throw failure(this.faults.write);
      },
      stat: () => ({ inFlight: 0, queued: 0, reads: 0, writes: 0, readBytes: 0, writtenBytes: 0 }),
      close: async () => undefined,
    };
  }
}
