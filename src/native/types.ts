import type { Server } from 'node:net';

/** The addon's interface: memory that does not move, checksums off the event loop, and a block device. */

/**
 * Off-heap, 4096-aligned memory from one mmap, taken from the system as it is touched. Blocks are handed out by the
 * owner (the store decides, the arena only provides the bytes).
 */
export interface Arena {
  /** Bytes. */
  readonly capacity: number;
  /** A view of [offset, offset + length). The mapping lives until the arena is closed and every view and I/O is gone. */
  view(offset: number, length: number): Buffer;
  /** Gives the pages of [offset, offset + length) back to the system; their content is undefined afterwards. */
  discard(offset: number, length: number): void;
  /** Drops the arena's own reference. Views and I/O in flight keep the mapping alive. */
  close(): void;
}

export interface ArenaOptions {
  readonly capacity: number;
  /** Ask for transparent huge pages (madvise). */
  readonly hugePages?: boolean;
}

/** Incremental SHA-256 that runs on threads of the addon's own. Updates are queued in order; a chunk must not change until its promise resolves. */
export interface Sha256 {
  update(chunk: Uint8Array): Promise<void>;
  /** Lower-case hex. Ends the hash. */
  digest(): Promise<string>;
}

export interface BlockDeviceOptions {
  readonly path: string;
  /** Bytes; the file is preallocated to this size. */
  readonly capacity: number;
  /** 1: libaio, with the pool as a fallback (`engine` and `engineReason` say which and why). 0: the pool. */
  readonly aio: 0 | 1;
  /** Requests in flight at most; more wait in order. */
  readonly depth?: number;
  /** Open the file that is there, of whatever size, without preallocating. */
  readonly readOnly?: boolean;
}

export interface BlockDevice {
  readonly capacity: number;
  readonly engine: 'libaio' | 'pool';
  readonly engineReason: string;
  /** False where the file system refused O_DIRECT (tmpfs): then the page cache is used. */
  readonly direct: boolean;
  /**
   * Reads into / writes from arena memory. `buffer` must be a view of an Arena; offset, length and address are multiples
   * of 4096. Resolves when all bytes are through (short transfers are continued); rejects with an Error whose `code` is
   * the errno name (EIO, ENOSPC, …).
   */
  read(buffer: Buffer, offset: number): Promise<void>;
  write(buffer: Buffer, offset: number): Promise<void>;
  /** fdatasync. */
  sync(): Promise<void>;
  stat(): { inFlight: number; queued: number; reads: number; writes: number; readBytes: number; writtenBytes: number };
  /** Waits for requests in flight, then closes the file. Later calls reject with code EBADF. */
  close(): Promise<void>;
}

export interface Native {
  createArena(options: ArenaOptions): Arena;
  /**
   * CRC32C (Castagnoli) of `data`, going on from `seed` (0 at the start). Synchronous: with SSE4.2 about 20 GB/s while the bytes are
   * in the processor's cache, 10 GB/s from memory.
   */
  crc32c(data: Uint8Array, seed?: number): number;
  /** The same on threads of the addon's own. `data` is a view of an Arena and must not change until the promise resolves. */
  crc32cOffLoop(data: Uint8Array): Promise<number>;
  createSha256(): Sha256;
  openBlockDevice(options: BlockDeviceOptions): Promise<BlockDevice>;
  /** Fixes the send buffer of the connections that a listening server accepts. False where Node does not let it be done. */
  limitSendBuffer(server: Server, bytes: number): boolean;
}
