import { type FileHandle, open, rename } from 'node:fs/promises';
import path from 'node:path';
import type { Native } from '../native/types.ts';
import { encodeHeader, type FileHeader } from './file-header.ts';
import { syncDirectory, writeAll } from './files.ts';
import { encodeRecord, type JournalRecord } from './journal-format.ts';

/** Appends below this never make a journal worth writing anew. */
const roomToGrow = 1024 * 1024;

/**
 * The index on the disk: an append-only file. Every journal starts as a new file, written beside its predecessor and renamed over
 * it once it is on the disk; compaction is nothing but the next journal. Records are gathered while a write is under way and
 * go out together. After an error all later calls reject with it: only a next journal mends that.
 */
export class Journal {
  readonly #file: string;
  readonly #crc32c: Native['crc32c'];
  #handle: FileHandle | undefined;
  #end = 0;
  #pending: Buffer[];
  #bytes: number;
  readonly #firstBytes: number;
  /** The write under way, and the one that takes what is pending when it is over. */
  #running: Promise<void>;
  #next: Promise<void> | undefined;

  /** `records`: what the journal starts with. Nothing is written before the first `flush`, nor before `after`. */
  constructor(
    file: string,
    header: FileHeader,
    records: Iterable<JournalRecord>,
    crc32c: Native['crc32c'],
    after: Promise<void> = Promise.resolve(),
  ) {
    this.#file = file;
    this.#crc32c = crc32c;
    this.#running = after;
    this.#pending = [encodeHeader('index', header, crc32c)];
    for (const record of records) this.#pending.push(encodeRecord(record, crc32c));
    this.#firstBytes = this.#pending.reduce((sum, bytes) => sum + bytes.length, 0);
    this.#bytes = this.#firstBytes;
  }

  /** Whether most of the journal is past: time for the next one. */
  get overgrown(): boolean {
    return this.#bytes > 3 * this.#firstBytes + roomToGrow;
  }

  /** Takes effect with the next `flush`. */
  append(record: JournalRecord): void {
    const bytes = encodeRecord(record, this.#crc32c);
    this.#pending.push(bytes);
    this.#bytes += bytes.length;
  }

  /** Resolves when all that was appended so far is written: it survives the process, not a power loss. */
  flush(): Promise<void> {
    if (this.#pending.length === 0) return this.#next ?? this.#running;
    this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      this.#running = this.#write();
      return this.#running;
    });
    return this.#next;
  }

  /** Flushes, and makes what was flushed survive a power loss. */
  async sync(): Promise<void> {
    await this.flush();
    await this.#handle?.datasync();
  }

  /** Waits for the write under way and closes the file. What was not flushed is lost. */
  async close(): Promise<void> {
    await (this.#next ?? this.#running).catch(() => undefined);
    await this.#handle?.close();
    this.#handle = undefined;
  }

  async #write(): Promise<void> {
    const bytes = Buffer.concat(this.#pending);
    this.#pending = [];
    if (this.#handle) await writeAll(this.#handle, bytes, this.#end);
    else this.#handle = await this.#create(bytes);
    this.#end += bytes.length;
  }

  async #create(bytes: Buffer): Promise<FileHandle> {
    const fresh = `${this.#file}.new`;
    const handle = await open(fresh, 'w', 0o600);
    try {
      await writeAll(handle, bytes, 0);
      await handle.datasync();
      await rename(fresh, this.#file);
      await syncDirectory(path.dirname(this.#file));
      return handle;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }
}
