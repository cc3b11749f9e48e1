import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { TokenBucket } from '../../token-bucket.ts';

/** Bytes that are written, and counted, at once. Larger writes cost less CPU; under a limit smaller ones are smoother. */
const chunkSize = 1024 * 1024;
const limitedChunkSize = 256 * 1024;

export interface UploadOptions {
  readonly bucket: TokenBucket | undefined;
  /** Called when bytes have gone to the kernel. */
  readonly onSent: (bytes: number) => void;
  /** Aborted when the requester is gone. */
  readonly signal: AbortSignal;
}

/**
 * Sends `bytes` as the response's body, without copying them, at the limit's pace. Resolves when the kernel has all of it;
 * rejects when the connection is gone. Then nobody reads `bytes` any more.
 */
export async function upload(response: ServerResponse, bytes: Buffer, options: UploadOptions): Promise<void> {
  const { bucket, onSent, signal } = options;
  const size = bucket === undefined ? chunkSize : limitedChunkSize;
  for (let sent = 0; sent < bytes.length; sent += size) {
    const chunk = bytes.subarray(sent, sent + size);
    const wait = bucket?.take(chunk.length) ?? 0;
    if (wait > 0) await delay(wait, undefined, { signal });
    await write(response, chunk, signal);
    onSent(chunk.length);
  }
  response.end();
}

function write(response: ServerResponse, chunk: Buffer, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    // The callback does not come for a connection that was closed before.
    const abort = (): void => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    response.write(chunk, (error) => {
      signal.removeEventListener('abort', abort);
      if (error) reject(error);
      else resolve();
    });
  });
}
