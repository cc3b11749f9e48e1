import type { ServerHttp2Stream } from 'node:http2';

export type Received =
  | { readonly kind: 'whole'; readonly body: Buffer }
  /** More than the limit: `chunks` were read, the rest is still to come and the stream stands still. */
  | { readonly kind: 'too-large'; readonly chunks: readonly Buffer[] }
  /** The caller went away. */
  | { readonly kind: 'gone' };

/** Reads a request's body to its end, or until it exceeds `limit` bytes. Never rejects. */
export function receive(stream: ServerHttp2Stream, limit: number): Promise<Received> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const settle = (received: Received): void => {
      stream.off('data', take);
      stream.off('end', end);
      stream.off('close', gone);
      resolve(received);
    };
    const take = (chunk: Buffer): void => {
      chunks.push(chunk);
      size += chunk.length;
      if (size <= limit) return;
      stream.pause();
      settle({ kind: 'too-large', chunks });
    };
    const end = (): void => settle({ kind: 'whole', body: Buffer.concat(chunks, size) });
    const gone = (): void => settle({ kind: 'gone' });
    stream.on('data', take);
    stream.on('end', end);
    stream.on('close', gone);
  });
}
