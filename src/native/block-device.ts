import { constants } from 'node:os';
import { type AddonBlockDevice, addon } from './addon.ts';
import { blockAlignment } from './arena.ts';
import { request } from './completions.ts';
import { errnoError, systemError } from './system-error.ts';
import type { BlockDevice, BlockDeviceOptions } from './types.ts';

/** Enough to keep a cloud disk busy with pieces of 256 KiB to 4 MiB. */
const defaultDepth = 32;
/** Far below fs.aio-max-nr (65536), which all processes of the machine share. */
const maxDepth = 1024;

class SlabDevice implements BlockDevice {
  readonly capacity: number;
  readonly engine: 'libaio' | 'pool';
  readonly engineReason: string;
  readonly direct: boolean;
  readonly #device: AddonBlockDevice;
  readonly #path: string;
  readonly #count = { reads: 0, writes: 0, readBytes: 0, writtenBytes: 0 };
  /** Calls that have not ended, and what to do when the last has. */
  #pending = 0;
  #onIdle: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(device: AddonBlockDevice, path: string) {
    this.#device = device;
    this.#path = path;
    const { capacity, engine, engineReason, direct } = device.describe();
    this.capacity = capacity;
    this.engine = engine;
    this.engineReason = engineReason;
    this.direct = direct;
  }

  async read(buffer: Buffer, offset: number): Promise<void> {
    await this.#transfer('read', buffer, offset);
    this.#count.reads++;
    this.#count.readBytes += buffer.length;
  }

  async write(buffer: Buffer, offset: number): Promise<void> {
    await this.#transfer('write', buffer, offset);
    this.#count.writes++;
    this.#count.writtenBytes += buffer.length;
  }

  async sync(): Promise<void> {
    this.#checkOpen('sync');
    this.#pending++;
    try {
      await this.#device.sync();
    } catch (error) {
      throw systemError(error, `sync of ${this.#path}`);
    } finally {
      this.#settled();
    }
  }

  stat(): ReturnType<BlockDevice['stat']> {
    const load = this.#closing === undefined ? this.#device.load() : { inFlight: this.#pending, queued: 0 };
    return { ...load, ...this.#count };
  }

  close(): Promise<void> {
    this.#closing ??= this.#idle().then(() => this.#device.close());
    return this.#closing;
  }

  async #transfer(what: 'read' | 'write', buffer: Buffer, offset: number): Promise<void> {
    this.#checkOpen(what);
    const text = `${what} of ${buffer.length} bytes at ${offset} of ${this.#path}`;
    if (!Number.isSafeInteger(offset) || offset < 0 || buffer.length === 0 || offset + buffer.length > this.capacity) {
      throw new RangeError(`${text}: not a range of its ${this.capacity} bytes`);
    }
    if ([offset, buffer.length, buffer.byteOffset].some((number) => number % blockAlignment !== 0)) {
      throw new RangeError(`${text}: offset, length and address must be multiples of ${blockAlignment}`);
    }
    this.#pending++;
    try {
      const errno = await request([this.#device], (ticket) =>
        this.#device.submit(what === 'write', buffer, offset, ticket),
      );
      if (errno !== 0) throw errnoError(errno, text);
    } finally {
      this.#settled();
    }
  }

  #checkOpen(what: string): void {
    if (this.#closing !== undefined) throw errnoError(constants.errno.EBADF, `${what} of ${this.#path}, closed before`);
  }

  #settled(): void {
    this.#pending--;
    if (this.#pending === 0) this.#onIdle?.();
  }

  #idle(): Promise<void> {
    if (this.#pending === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
  }
}

/**
 * Opens the slab file, takes its disk space, and starts the engine, all off the event loop.
 * @throws RangeError for impossible options; Error with the errno's `code` when the file cannot be had: ENOSPC (the disk
 * is too small: the file is left as it was), EROFS, EACCES, ENOENT, EINVAL (not a regular file), …
 */
export async function openBlockDevice(options: BlockDeviceOptions): Promise<BlockDevice> {
  const { path, capacity, aio, depth = defaultDepth, readOnly = false } = options;
  if (!Number.isSafeInteger(capacity) || capacity <= 0 || capacity % blockAlignment !== 0) {
    throw new RangeError(`the capacity of ${path} must be a positive multiple of ${blockAlignment}, not ${capacity}`);
  }
  if (!Number.isSafeInteger(depth) || depth < 1 || depth > maxDepth) {
    throw new RangeError(`the depth of ${path} must be 1 to ${maxDepth}, not ${depth}`);
  }
  const device = new (addon().BlockDevice)(path, capacity, aio === 1, depth, readOnly);
  try {
    await device.open();
  } catch (error) {
    throw systemError(error, `cannot open ${path} with ${capacity} bytes`);
  }
  return new SlabDevice(device, path);
}
