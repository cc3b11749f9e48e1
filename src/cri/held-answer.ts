import { constants, type IncomingHttpHeaders, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { decodeStatusMessage, grpcStatus, maximumMessageBytes, messagePrefixBytes, statusHeaders } from './grpc.ts';
import { forwardedHeaders } from './headers.ts';
import type { Runtime } from './runtime.ts';

const { NGHTTP2_FLAG_END_STREAM, NGHTTP2_NO_ERROR, NGHTTP2_CANCEL, NGHTTP2_INTERNAL_ERROR } = constants;

/** The runtime's whole answer to a call with one message, held back until somebody has looked at it. */
export type HeldAnswer =
  | {
      readonly kind: 'answer';
      readonly headers: OutgoingHttpHeaders;
      readonly body: readonly Buffer[];
      /** Absent when the headers were the trailers, too. */
      readonly trailers?: OutgoingHttpHeaders;
      readonly code: number;
      /** The decoded `grpc-message`. */
      readonly message: string;
    }
  /** The runtime reset the stream. */
  | { readonly kind: 'reset'; readonly rstCode: number }
  /** We have to answer ourselves: the runtime could not be reached, went away, or said too much. */
  | { readonly kind: 'refused'; readonly code: number; readonly message: string };

const maximumAnswerBytes = maximumMessageBytes + messagePrefixBytes;

/**
 * Sends a request of one message to the runtime and collects the answer. Never rejects. When `signal` fires, the
 * runtime's call is cancelled and the answer is a reset.
 */
export async function askRuntime(
  runtime: Runtime,
  headers: OutgoingHttpHeaders,
  body: Buffer,
  signal: AbortSignal,
): Promise<HeldAnswer> {
  try {
    const { stream, lost } = await runtime.request(headers);
    return await new Promise<HeldAnswer>((resolve) => {
      const chunks: Buffer[] = [];
      let size = 0;
      let head: OutgoingHttpHeaders | undefined;
      const cancel = (): void => stream.close(NGHTTP2_CANCEL);
      stream.on('response', (raw: IncomingHttpHeaders, flags: number, rawHeaders: string[]) => {
        head = forwardedHeaders(rawHeaders, raw);
        if ((flags & NGHTTP2_FLAG_END_STREAM) !== 0) resolve(toAnswer(head, []));
      });
      stream.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size <= maximumAnswerBytes) {
          chunks.push(chunk);
          return;
        }
        resolve({
          kind: 'refused',
          code: grpcStatus.resourceExhausted,
          message: `the container runtime's answer is larger than ${maximumMessageBytes} bytes`,
        });
        cancel();
      });
      let trailers: OutgoingHttpHeaders | undefined;
      stream.on('trailers', (raw: IncomingHttpHeaders, _flags: number, rawHeaders: string[]) => {
        trailers = forwardedHeaders(rawHeaders, raw);
      });
      stream.on('end', () => {
        if (head !== undefined && trailers !== undefined) resolve(toAnswer(head, chunks, trailers));
      });
      stream.on('close', () => {
        signal.removeEventListener('abort', cancel);
        resolve(
          lost() && !signal.aborted
            ? { kind: 'refused', code: grpcStatus.unavailable, message: runtime.lostMessage() }
            : { kind: 'reset', rstCode: stream.rstCode },
        );
      });
      // 'close' follows and tells the code.
      stream.on('error', () => undefined);
      signal.addEventListener('abort', cancel, { once: true });
      if (signal.aborted) cancel();
      else stream.end(body);
    });
  } catch (error) {
    return { kind: 'refused', code: grpcStatus.unavailable, message: error instanceof Error ? error.message : '' };
  }
}

/** Gives the answer to the kubelet as the runtime gave it. */
export function replyWith(stream: ServerHttp2Stream, answer: HeldAnswer): void {
  if (stream.destroyed || stream.closed) return;
  switch (answer.kind) {
    case 'refused':
      stream.respond(statusHeaders(answer.code, answer.message), { endStream: true });
      return;
    case 'reset':
      stream.close(answer.rstCode === NGHTTP2_NO_ERROR ? NGHTTP2_INTERNAL_ERROR : answer.rstCode);
      return;
    case 'answer': {
      const { trailers } = answer;
      if (trailers === undefined) {
        stream.respond(answer.headers, { endStream: true });
        return;
      }
      stream.respond(answer.headers, { waitForTrailers: true });
      stream.once('wantTrailers', () => stream.sendTrailers(trailers));
      for (const chunk of answer.body) stream.write(chunk);
      stream.end();
    }
  }
}

function toAnswer(
  headers: OutgoingHttpHeaders,
  body: readonly Buffer[],
  trailers?: OutgoingHttpHeaders,
): Extract<HeldAnswer, { kind: 'answer' }> {
  const status = trailers ?? headers;
  // An answer without a status is a failure; 2 is gRPC's UNKNOWN.
  const code = Number(status['grpc-status'] ?? 2);
  const message = decodeStatusMessage(String(status['grpc-message'] ?? ''));
  return { kind: 'answer', headers, body, code, message, ...(trailers === undefined ? {} : { trailers }) };
}
