import { constants } from 'node:os';
import { type AddonBlockDevice, addon } from './addon.ts';
import { blockAlignment } from './arena.ts';
import { begin } from './completions.ts';
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
  /** What each request uses. */
  readonly #held: readonly object[];
  readonly #path: string;
  readonly #done = { reads: 0, writes: 0, readBytes: 0, writtenBytes: 0 };
  /** Calls that have not ended, and what to do when the last has. */
  #pending = 0;
  #onIdle: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(device: AddonBlockDevice, path: string) {
    this.#device = device;
    this.#held = [device];
    this.#path = path;
    const { capacity, engine, engineReason, direct } = device.describe();
    this.capacity = capacity;
    this.engine = engine;
    this.engineReason = engineReason;
    this.direct = direct;
  }

  read(buffer: Buffer, offset: number): Promise<void> {
    return this.#transfer('read', buffer, offset);
  }

  write(buffer: Buffer, offset: number): Promise<void> {
    return this.#transfer('write', buffer, offset);
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
    return { ...load, ...this.#done };
  }

  close(): Promise<void> {
    this.#closing ??= this.#idle().then(() => this.#device.close());
    return this.#closing;
  }

  /** One promise and no more: at thousands of requests a second each costs. */
  #transfer(what: 'read' | 'write', buffer: Buffer, offset: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#check(what, buffer, offset);
      const settle = (errno: number): void => {
        this.#count(what, errno === 0 ? buffer.length : undefined);
        if (errno === 0) resolve();
        else reject(errnoError(errno, this.#describe(what, buffer.length, offset)));
      };
      begin(this.#held, settle, (ticket) => this.#device.submit(what === 'write', buffer, offset, ticket));
      this.#pending++;
    });
  }

  #check(what: 'read' | 'write', { length, byteOffset }: Buffer, offset: number): void {
    this.#checkOpen(what);
    if (!Number.isSafeInteger(offset) || offset < 0 || length === 0 || offset + length > this.capacity) {
      throw new RangeError(`${this.#describe(what, length, offset)}: not a range of its ${this.capacity} bytes`);
    }
    if (offset % blockAlignment !== 0 || length % blockAlignment !== 0 || byteOffset % blockAlignment !== 0) {
      throw new RangeError(
        `${this.#describe(what, length, offset)}: offset, length and address must be multiples of ${blockAlignment}`,
      );
    }
  }

  /** A transfer has ended, with so many bytes, or in vain. */
  #count(what: 'read' | 'write', bytes: number | undefined): void {
    const done = this.#done;
    if (bytes !== undefined && what === 'read') {
      done.reads++;
      done.readBytes += bytes;
    } else if (bytes !== undefined) {
      done.writes++;
      done.writtenBytes += bytes;
    }
    this.#settled();
  }

  #describe(what: string, length: number, offset: number): string {
    return `${what} of ${length} bytes at ${offset} of ${this.#path}`;
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
