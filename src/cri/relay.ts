import { constants, type IncomingHttpHeaders, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { grpcStatus, statusHeaders } from './grpc.ts';
import { forwardedHeaders } from './headers.ts';
import type { Runtime, RuntimeCall } from './runtime.ts';

const { NGHTTP2_FLAG_END_STREAM, NGHTTP2_NO_ERROR, NGHTTP2_INTERNAL_ERROR } = constants;

/** A call of the kubelet that has not been answered yet. */
export interface IncomingCall {
  readonly stream: ServerHttp2Stream;
  /** Its headers, to be sent on as they came. */
  readonly headers: OutgoingHttpHeaders;
  /** Whether the headers were all there is. */
  readonly ended: boolean;
}

/**
 * Passes a call on to the runtime and its answer back, frame by frame: bytes, headers, trailers, resets and
 * back-pressure, whatever the method and the kind of stream. `body` is what was already read of the request; without
 * it nothing was.
 */
export async function relay(
  call: IncomingCall,
  runtime: Runtime,
  body?: { readonly chunks: readonly Buffer[] },
): Promise<void> {
  const { stream } = call;
  let upstream: RuntimeCall;
  try {
    upstream = await runtime.request(call.headers, { endStream: call.ended });
  } catch (error) {
    refuse(stream, grpcStatus.unavailable, error instanceof Error ? error.message : String(error));
    return;
  }
  if (stream.destroyed || stream.closed) {
    upstream.stream.close(stream.rstCode);
    return;
  }
  relayAnswer(stream, upstream, runtime);
  if (call.ended) return;
  for (const chunk of body?.chunks ?? []) upstream.stream.write(chunk);
  if (stream.readableEnded) upstream.stream.end();
  else stream.pipe(upstream.stream);
}

/** Answers a call with a status of our own. */
export function refuse(stream: ServerHttp2Stream, code: number, message: string): void {
  if (stream.destroyed || stream.closed || stream.headersSent) return;
  stream.respond(statusHeaders(code, message), { endStream: true });
  // What is left of the request is not wanted: without this, the client would go on to send it.
  if (!stream.readableEnded) stream.close(NGHTTP2_NO_ERROR);
}

function relayAnswer(stream: ServerHttp2Stream, upstream: RuntimeCall, runtime: Runtime): void {
  const from = upstream.stream;
  let trailers: OutgoingHttpHeaders | undefined;
  let answered = false;

  from.on('response', (headers: IncomingHttpHeaders, flags: number, rawHeaders: string[]) => {
    if (stream.destroyed || stream.closed) return;
    const forwarded = forwardedHeaders(rawHeaders, headers);
    if ((flags & NGHTTP2_FLAG_END_STREAM) !== 0) {
      answered = true;
      stream.respond(forwarded, { endStream: true });
      return;
    }
    stream.respond(forwarded, { waitForTrailers: true });
    from.pipe(stream);
  });
  from.on('trailers', (headers: IncomingHttpHeaders, _flags: number, rawHeaders: string[]) => {
    trailers = forwardedHeaders(rawHeaders, headers);
  });
  stream.on('wantTrailers', () => {
    answered = true;
    stream.sendTrailers(trailers ?? {});
  });
  from.on('close', () => {
    if (stream.destroyed || stream.closed) return;
    if (upstream.lost() && trailers === undefined && !answered) {
      answerLost(stream, runtime.lostMessage());
      return;
    }
    // A whole answer is still on its way out: a reset now would overtake it.
    if (from.rstCode === NGHTTP2_NO_ERROR && (answered || stream.headersSent)) return closeWhenSent(stream);
    stream.close(from.rstCode === NGHTTP2_NO_ERROR ? NGHTTP2_INTERNAL_ERROR : from.rstCode);
  });
  stream.on('close', () => {
    if (!from.closed && !from.destroyed) from.close(stream.rstCode);
  });
  // Each stream's end comes as 'close', with its code: the errors say nothing more.
  from.on('error', () => undefined);
}

/** Ends a call whose answer is complete, though its request may not be. */
function closeWhenSent(stream: ServerHttp2Stream): void {
  if (stream.readableEnded) return;
  if (stream.writableFinished) stream.close(NGHTTP2_NO_ERROR);
  else stream.once('finish', () => stream.close(NGHTTP2_NO_ERROR));
}

/** The runtime went away in the middle of a call: UNAVAILABLE, with whatever the answer's state allows. */
function answerLost(stream: ServerHttp2Stream, message: string): void {
  if (!stream.headersSent) {
    refuse(stream, grpcStatus.unavailable, message);
    return;
  }
  const { ':status': _status, 'content-type': _type, ...trailers } = statusHeaders(grpcStatus.unavailable, message);
  stream.removeAllListeners('wantTrailers');
  stream.once('wantTrailers', () => stream.sendTrailers(trailers));
  if (!stream.writableEnded) stream.end();
}
