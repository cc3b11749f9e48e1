import type { ServerResponse } from 'node:http';
import type { BlobChunk } from '../pull/types.ts';

/** Chunks (≤ 4 MiB) of one response that wait for the client at most: one on the wire while the next one is fetched. */
const maxUnflushed = 2;

/**
 * The chunks that were written to a response and that the kernel has not taken yet. Each is released exactly once: when its
 * last byte left this process, or when the connection is gone.
 */
export class ChunkWindow {
  readonly #response: ServerResponse;
  readonly #unflushed = new Set<BlobChunk>();
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
    this.#response.write(chunk.bytes, () => this.#settle(chunk));
  }

  /** Resolves when another chunk may be written, or when the connection is gone. */
  async room(): Promise<void> {
    while (this.#unflushed.size >= maxUnflushed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #settle(chunk: BlobChunk): void {
    if (!this.#unflushed.delete(chunk)) return;
    chunk.release();
    this.#wake?.();
  }
}
