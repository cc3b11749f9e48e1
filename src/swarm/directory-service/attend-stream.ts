import { constants, type ServerHttp2Stream } from 'node:http2';
import { changing, type Hello, type ShardMessage, type Standing } from '../messages.ts';
import { decodeAgentFrame, encodeShardFrame } from './codec.ts';
import {
  FrameError,
  type GrpcStatus,
  grpcContentType,
  grpcStatus,
  Reassembly,
  statusTrailers,
  withPrefix,
} from './framing.ts';
import { Outbox } from './outbox.ts';
import type { Attendance, Attendee, DirectoryHost } from './types.ts';

export interface AttendStreamOptions {
  readonly host: DirectoryHost;
  /** Why the peer may not speak for this id. Undefined: it may. */
  readonly refusal: (id: string) => string | undefined;
  /** The stream ends because of what the agent did. */
  readonly refused: (code: GrpcStatus, reason: string, id: string | undefined) => void;
  /** Milliseconds until the first frame must have come. */
  readonly helloTimeoutMs: number;
  /** Milliseconds that a frame may wait for the agent to take it. */
  readonly patienceMs: number;
}

/**
 * Messages that may wait for an agent that takes none. An agent has 1,024 open wants at most, and a want gets one decision:
 * four times as many is what no agent leaves unread that still follows.
 */
const mostWaiting = 4_096;
/** Milliseconds that the last word has to reach the agent. */
const lastWordMs = 1_000;

/** One agent's stream at the shard: reads and checks its frames, sends it the shard's decisions. */
export class AttendStream implements Attendee {
  readonly #stream: ServerHttp2Stream;
  readonly #options: AttendStreamOptions;
  readonly #reassembly = new Reassembly();
  readonly #outbox: Outbox<ShardMessage>;
  readonly #helloTimer: NodeJS.Timeout;
  #hello: Hello | undefined;
  #attendance: Attendance | undefined;
  /** To be said with the next frame. */
  #standing: Standing | undefined;
  #ended = false;

  constructor(stream: ServerHttp2Stream, options: AttendStreamOptions) {
    this.#stream = stream;
    this.#options = options;
    this.#outbox = new Outbox({
      send: (messages) => stream.write(withPrefix(encodeShardFrame({ messages, ...this.#takeStanding() }))),
      most: mostWaiting,
      patienceMs: options.patienceMs,
      stuck: () => this.#refuse(grpcStatus.resourceExhausted, 'it does not take what it is told'),
    });
    this.#helloTimer = setTimeout(
      () => this.#refuse(grpcStatus.deadlineExceeded, 'no hello has come'),
      options.helloTimeoutMs,
    );
    stream.on('data', (chunk: Buffer) => this.#received(chunk));
    stream.on('drain', () => this.#outbox.drained());
    stream.on('end', () => this.#end(grpcStatus.ok, ''));
    stream.on('close', () => this.#gone());
    // What breaks the stream closes it, too.
    stream.on('error', () => this.#gone());
  }

  receive(message: ShardMessage): void {
    this.#outbox.push(message);
  }

  stands(standing: Standing): void {
    this.#standing = standing;
    this.#outbox.wake();
  }

  ended(reason: 'replaced' | 'stopped'): void {
    this.#attendance = undefined;
    if (reason === 'stopped') this.#end(grpcStatus.unavailable, 'the shard stops');
    else this.#end(grpcStatus.aborted, 'another stream of the same id has come');
  }

  #received(chunk: Buffer): void {
    if (this.#ended) return;
    try {
      for (const payload of this.#reassembly.push(chunk)) {
        this.#read(payload);
        if (this.#ended) return;
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#refuse(grpcStatus.invalidArgument, error.message);
    }
  }

  #read(payload: Buffer): void {
    const { hello, messages } = decodeAgentFrame(payload);
    if (this.#attendance === undefined) this.#attend(hello);
    else if (hello !== undefined) this.#update(hello);
    for (const message of messages) this.#attendance?.say(message);
  }

  #attend(hello: Hello | undefined): void {
    if (hello === undefined) throw new FrameError('the first frame has no hello');
    const refusal = this.#options.refusal(hello.id);
    if (refusal !== undefined) {
      this.#refuse(grpcStatus.permissionDenied, refusal);
      return;
    }
    this.#hello = hello;
    this.#attendance = this.#options.host.attach(hello, this);
    if (this.#attendance === undefined) {
      this.#refuse(grpcStatus.resourceExhausted, 'the shard takes no more agents');
      return;
    }
    clearTimeout(this.#helloTimer);
    this.#respond();
    if (this.#attendance.standing === 'resigned') this.stands('resigned');
  }

  #takeStanding(): { readonly standing?: Standing } {
    const standing = this.#standing;
    this.#standing = undefined;
    return standing === undefined ? {} : { standing };
  }

  #update(hello: Hello): void {
    const { id, address, zone, role } = this.#hello ?? hello;
    if (hello.id !== id || hello.address !== address || hello.zone !== zone || hello.role !== role) {
      throw new FrameError('a hello with another id, address, zone or role: that takes a new stream');
    }
    this.#attendance?.update(changing(hello));
  }

  #refuse(code: GrpcStatus, reason: string): void {
    if (this.#ended) return;
    this.#options.refused(code, reason, this.#hello?.id);
    this.#end(code, reason);
  }

  #respond(trailers?: Record<string, string>): void {
    // What was sent before the agent took it back may still be read.
    if (isGone(this.#stream)) return;
    const headers = { ':status': 200, 'content-type': grpcContentType };
    if (trailers === undefined) this.#stream.respond(headers, { waitForTrailers: true });
    else this.#stream.respond({ ...headers, ...trailers }, { endStream: true });
  }

  /** Ends the stream with a status. Who does not take even that is cut off. */
  #end(code: GrpcStatus, message: string): void {
    if (this.#ended) return;
    this.#forget();
    const stream = this.#stream;
    if (isGone(stream)) return;
    const trailers = statusTrailers(code, message);
    if (stream.headersSent) {
      stream.once('wantTrailers', () => {
        if (!isGone(stream)) stream.sendTrailers(trailers);
      });
      stream.end();
    } else this.#respond(trailers);
    const cut = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), lastWordMs);
    stream.once('close', () => clearTimeout(cut));
    // What still comes is not for anybody, but the stream must not wait for it.
    stream.resume();
  }

  #gone(): void {
    if (!this.#ended) this.#forget();
  }

  #forget(): void {
    this.#ended = true;
    clearTimeout(this.#helloTimer);
    this.#outbox.close();
    const attendance = this.#attendance;
    this.#attendance = undefined;
    attendance?.leave();
  }
}

/** Whether the stream is closed already: to answer it then would throw. */
export function isGone(stream: ServerHttp2Stream): boolean {
  return stream.destroyed || stream.closed;
}
