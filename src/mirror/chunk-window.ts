import type { ServerResponse } from 'node:http';
import type { BlobChunk } from '../pull/types.ts';

/** Chunks of one response that may wait for the client in any case: one on the wire while the next one is fetched. */
const fewChunks = 2;
/** Bytes below which more may wait: many small chunks then leave in one system call. */
const fewBytes = 2 * 1024 * 1024;

/**
 * The chunks that were written to a response and that the kernel has not taken yet. Each is released exactly once: when its
 * last byte left this process, or when the connection is gone.
 */
export class ChunkWindow {
  readonly #response: ServerResponse;
  readonly #unflushed = new Set<BlobChunk>();
  #bytes = 0;
  #wake: (() => void) | undefined;

  constructor(response: ServerResponse) {
    this.#response = response;
    // A destroyed socket drops what is queued without a word. It is closed by now: the kernel reads no chunk any more.
    response.once('close', () => {
      for (const chunk of this.#unflushed) this.#settle(chunk);
    });
  }

  /** Hands the chunk's bytes to the socket, without a copy. */
  write(chunk: BlobChunk): void {
    if (this.#response.closed) {
      chunk.release();
      return;
    }
    this.#unflushed.add(chunk);
    this.#bytes += chunk.bytes.length;
    this.#response.write(chunk.bytes, () => this.#settle(chunk));
  }

  /** Resolves when another chunk may be written, or when the connection is gone. */
  async room(): Promise<void> {
    while (this.#unflushed.size >= fewChunks && this.#bytes >= fewBytes) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #settle(chunk: BlobChunk): void {
    if (!this.#unflushed.delete(chunk)) return;
    this.#bytes -= chunk.bytes.length;
    chunk.release();
    this.#wake?.();
  }
}
