import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from '../../telemetry/log.ts';
import type { RemoteSpans, RemoteWork } from '../../telemetry/remote-spans.ts';
import { type TraceContext, traceContextOf } from '../../telemetry/trace-context.ts';
import type { TokenBucket } from '../../token-bucket.ts';
import { busyHeader, checksumHeader, formatChecksum, type PieceTarget, parsePieceTarget } from './protocol.ts';
import { parseRange } from './range.ts';
import type { PieceProvider, ProvidedPiece } from './types.ts';
import { upload } from './upload.ts';
import type { UploadSlots } from './upload-slots.ts';

export interface PieceHandlerOptions {
  readonly provider: PieceProvider;
  readonly log: Logger;
  readonly slots: UploadSlots;
  readonly bucket: TokenBucket | undefined;
  /** Seconds without progress after which a requester is given up. */
  readonly transferTimeout: number;
  /** Bytes per second that a requester has to take over a whole piece, `transferTimeout` aside. */
  readonly slowestRate: number;
  /** Records what is done for the traces of others; without it nothing is. */
  readonly spans?: RemoteSpans | undefined;
}

/** Answers by what they were. */
export interface AnswerCounts {
  readonly served: number;
  readonly busy: number;
  readonly absent: number;
  /** Bytes of pieces. */
  readonly bytes: number;
}

/** What the piece server answers to each request. */
export class PieceHandler {
  readonly #options: PieceHandlerOptions;
  #served = 0;
  #busy = 0;
  #absent = 0;
  #bytes = 0;
  readonly #sentTo = new Map<string, number>();

  constructor(options: PieceHandlerOptions) {
    this.#options = options;
  }

  /** Bytes by the requester's IP address; only the first so many are told apart. */
  get sentTo(): ReadonlyMap<string, number> {
    return this.#sentTo;
  }

  get counts(): AnswerCounts {
    return { served: this.#served, busy: this.#busy, absent: this.#absent, bytes: this.#bytes };
  }

  /** Answers, or cuts the connection; never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.sendDate = false;
    if (request.method !== 'GET') return refuse(response, 405);
    if (request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined) {
      return refuse(response, 400);
    }
    const target = parsePieceTarget(request.url ?? '');
    if (target === undefined) return refuse(response, 404);
    const { spans } = this.#options;
    const trace = spans && traceContextOf(request.headers.traceparent, request.headers.tracestate);
    const work = trace && recorded(spans, trace, request, target.key.digest);
    await this.#answer(request, response, target, trace);
    if (work) note(work, response);
  }

  async #answer(
    request: IncomingMessage,
    response: ServerResponse,
    { key, source }: PieceTarget,
    trace: TraceContext | undefined,
  ): Promise<void> {
    const { slots, provider, log } = this.#options;
    const gone = new AbortController();
    response.once('close', () => gone.abort(new Error('the requester is gone')));
    // Before a slot is taken: the origin may let it wait.
    if (source !== undefined) await provider.prepare?.(key, source, gone.signal, trace);
    if (gone.signal.aborted) return;
    if (!slots.tryTake()) {
      this.#busy += 1;
      response.setHeader(busyHeader, '1');
      return refuse(response, 503);
    }
    let piece: ProvidedPiece | undefined;
    try {
      piece = await provider.get(key, gone.signal);
      if (gone.signal.aborted) return;
      if (piece === undefined) {
        this.#absent += 1;
        refuse(response, 404);
        return;
      }
      await this.#send(request.headers.range, response, piece, gone.signal);
    } catch (error) {
      // In the middle of a body the cut is the message; the requester takes another peer.
      response.destroy();
      if (!gone.signal.aborted) log.warn({ err: error, ...key }, 'a piece could not be sent');
    } finally {
      piece?.release();
      slots.release();
    }
  }

  async #send(
    rangeHeader: string | undefined,
    response: ServerResponse,
    piece: ProvidedPiece,
    signal: AbortSignal,
  ): Promise<void> {
    const { bucket, slots, transferTimeout, slowestRate } = this.#options;
    const { length } = piece.bytes;
    const range = parseRange(rangeHeader, length);
    if (range === 'unsatisfiable') {
      response.setHeader('Content-Range', `bytes */${length}`);
      return refuse(response, 416);
    }
    if (range !== undefined) {
      response.statusCode = 206;
      response.setHeader('Content-Range', `bytes ${range.start}-${range.end - 1}/${length}`);
    }
    const body = range === undefined ? piece.bytes : piece.bytes.subarray(range.start, range.end);
    response.setHeader('Content-Type', 'application/octet-stream');
    response.setHeader('Content-Length', body.length);
    response.setHeader(checksumHeader, formatChecksum(piece.crc32c));
    const requester = this.#requester(response);
    const onSent = (bytes: number): void => {
      this.#bytes += bytes;
      this.#sentTo.set(requester, (this.#sentTo.get(requester) ?? 0) + bytes);
      slots.sent(bytes);
    };
    // Some progress is not enough: a requester that takes its piece by the byte would hold slot and piece for ever.
    const patience = transferTimeout + body.length / slowestRate;
    const tooSlow = setTimeout(() => response.destroy(), patience * 1000);
    try {
      await upload(response, body, { bucket, signal, onSent });
      this.#served += 1;
    } finally {
      clearTimeout(tooSlow);
    }
  }

  #requester(response: ServerResponse): string {
    // IPv4 on an IPv6 socket: ::ffff:10.0.0.1.
    const address = response.socket?.remoteAddress?.replace(/^::ffff:/, '') ?? others;
    return this.#sentTo.has(address) || this.#sentTo.size < mostRequesters ? address : others;
  }
}

/** Undefined where the requester's pull is not recorded. */
function recorded(
  spans: RemoteSpans,
  context: TraceContext,
  { socket }: IncomingMessage,
  digest: string,
): RemoteWork | undefined {
  const address = socket.remoteAddress ?? '';
  return spans.begin('serve', context, { 'oci.digest': digest, 'network.peer.address': address });
}

function note(work: RemoteWork, response: ServerResponse): void {
  const { statusCode } = response;
  if (!response.writableEnded) work.done('cut');
  else if (statusCode === 200 || statusCode === 206) work.done('served', Number(response.getHeader('Content-Length')));
  else work.done(statusCode === 503 ? 'busy' : statusCode === 404 ? 'absent' : 'refused');
}

/** As many as there are nodes in a large cluster. */
const mostRequesters = 4096;
const others = 'others';

/** Refusals after which the connection is of use; what no client of ours sends ends it. */
const ordinary: ReadonlySet<number> = new Set([404, 416, 503]);

/** An answer without a body. */
export function refuse(response: ServerResponse, status: number): void {
  response.sendDate = false;
  response.statusCode = status;
  response.setHeader('Content-Length', 0);
  if (!ordinary.has(status)) response.setHeader('Connection', 'close');
  response.end();
}
