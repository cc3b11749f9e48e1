import type { BlockDevice, Native } from '../native/types.ts';
import type { Logger } from '../telemetry/log.ts';
import { type CacheFiles, prepareFiles } from './directory.ts';
import { Journal } from './journal.ts';
import type { JournalRecord } from './journal-format.ts';

export interface VolumeOptions {
  readonly directory: string;
  /** Bytes of the slab file. */
  readonly capacity: number;
  readonly blockSize: number;
  readonly aio: 0 | 1;
  readonly native: Pick<Native, 'crc32c' | 'crc32cOffLoop' | 'openBlockDevice'>;
  readonly log: Logger;
}

/** Requests in flight at the device. */
export const deviceDepth = 32;

/**
 * The open files of a disk tier: the slab and its index. What the index says holds after SIGKILL at any instruction, because
 * `write` first writes out the records of what had the blocks before, and the record of a piece is appended when its data is
 * through. Data and records may reach the platter in any order, so after a power loss the index may name blocks that hold
 * something else; the CRC32C over the piece finds that when it is read.
 */
export class Volume {
  readonly device: BlockDevice;
  /** What the index said when it was opened. */
  readonly records: readonly JournalRecord[];
  readonly #files: CacheFiles;
  readonly #options: VolumeOptions;
  #journal: Journal | undefined;
  #unsynced = false;
  /** Whether drop records were appended since `#dropsWritten` began to be. */
  #dropsPending = false;
  #dropsWritten: Promise<void> = Promise.resolve();

  private constructor(options: VolumeOptions, files: CacheFiles, device: BlockDevice) {
    this.#options = options;
    this.#files = files;
    this.records = files.records;
    this.device = device;
  }

  /** Opens (or makes) the files. Nothing may be written before `startIndex`. */
  static async open(options: VolumeOptions): Promise<Volume> {
    const { directory, aio, capacity, blockSize, native, log } = options;
    const files = await prepareFiles(directory, { capacity, blockSize }, native.crc32c, log);
    const device = await native.openBlockDevice({ path: files.slab, capacity, aio, depth: deviceDepth });
    return new Volume(options, files, device);
  }

  /** Random, made with the slab: tells whether it is the one that was here before. */
  get slabId(): string {
    return this.#files.header.slabId;
  }

  /**
   * Begins a new index that says `records`; resolves when it is on the disk. While it is on its way the former one counts, for
   * a process that dies, and what is appended goes to the new one.
   */
  async startIndex(records: Iterable<JournalRecord>): Promise<void> {
    const { index, header } = this.#files;
    // Both write the same temporary name: one after the other.
    const after = this.#journal?.close();
    this.#journal = new Journal(index, header, records, this.#options.native.crc32c, after);
    await this.#journal.flush();
  }

  /** Most of the index is past: `startIndex` is due. */
  get overgrown(): boolean {
    return this.#journal?.overgrown ?? false;
  }

  /** Appends to the index. Takes effect with the next `write` or `flush`. */
  append(record: JournalRecord): void {
    this.#journal?.append(record);
    this.#unsynced = true;
    if (record.type === 'drop') this.#dropsPending = true;
  }

  async flush(): Promise<void> {
    await this.#journal?.flush();
  }

  /** Writes whole pages from block `at` on, when nothing in the index speaks of them any more. */
  async write(at: number, pages: Buffer): Promise<void> {
    if (this.#dropsPending) {
      this.#dropsPending = false;
      this.#dropsWritten = this.flush();
    }
    await this.#dropsWritten;
    await this.device.write(pages, this.#offset(at));
  }

  async read(at: number, pages: Buffer): Promise<void> {
    await this.device.read(pages, this.#offset(at));
  }

  /** Makes what was written and appended so far survive a power loss. */
  async sync(): Promise<void> {
    if (!this.#unsynced) return;
    this.#unsynced = false;
    await this.device.sync();
    await this.#journal?.sync();
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    await Promise.allSettled([this.device.close(), this.#journal?.close()]);
  }

  /** The slab's first block holds its header. */
  #offset(at: number): number {
    return (at + 1) * this.#options.blockSize;
  }
}
