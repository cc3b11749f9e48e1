import {
  constants,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import type { Logger } from '../telemetry/log.ts';
import { forwardedHeaders } from './headers.ts';
import { sessionLimits, sessionWindowBytes } from './http2-limits.ts';
import { type ListenTarget, listenOn } from './listener.ts';
import { openConnection } from './opening.ts';
import { handlePull } from './pull-call.ts';
import type { PullOutcome } from './pull-log.ts';
import { type IncomingCall, relay } from './relay.ts';
import { Runtime } from './runtime.ts';
import type { PullSessions } from './types.ts';

const pullPath = /^\/runtime\.v1(alpha2)?\.ImageService\/PullImage$/;

export interface CriProxyOptions {
  /** The path of the runtime's socket. */
  readonly runtimeSocket: string;
  readonly sessions: PullSessions;
  readonly log: Logger;
  /** Hears of every pull that was answered. */
  readonly onPull?: (outcome: PullOutcome) => void;
}

/** The CRI socket in front of the runtime's: passes everything through exactly, and follows PullImage. */
export class CriProxy {
  readonly #runtime: Runtime;
  readonly #options: CriProxyOptions;
  readonly #server: Server;
  #letGo = (): void => undefined;
  /** Connections whose client has not called yet. */
  readonly #opening = new Set<Socket>();
  readonly #clients = new Set<ServerHttp2Session>();

  constructor(options: CriProxyOptions) {
    this.#options = options;
    this.#runtime = new Runtime(options.runtimeSocket);
    this.#server = createServer((socket) => this.#open(socket));
  }

  /** Rejects with `ListenError`. */
  async listen(target: ListenTarget): Promise<void> {
    this.#letGo = await listenOn(this.#server, target);
  }

  /** Takes no more connections and calls, lets those in flight end within `graceMs` milliseconds, then ends them. */
  async close(graceMs: number): Promise<void> {
    this.#letGo();
    // Who connected before the socket went to a successor waits at this one, and would be refused.
    await turn();
    await turn();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#opening) socket.destroy();
    for (const client of this.#clients) client.close();
    const impatience = setTimeout(() => {
      for (const client of this.#clients) client.destroy();
      this.#runtime.destroy();
    }, graceMs);
    await closed;
    clearTimeout(impatience);
    this.#runtime.close();
  }

  #open(socket: Socket): void {
    this.#opening.add(socket);
    socket.once('close', () => this.#opening.delete(socket));
    openConnection(socket, (connection) => {
      this.#opening.delete(socket);
      this.#accept(connection);
    });
  }

  #accept(connection: Duplex): void {
    const session = performServerHandshake(connection, sessionLimits);
    session.setLocalWindowSize(sessionWindowBytes);
    this.#clients.add(session);
    session.on('close', () => this.#clients.delete(session));
    // A client that breaks the protocol or goes away loses its connection; the others don't notice.
    session.on('error', (error) => this.#options.log.debug({ reason: error.message }, 'a CRI connection broke'));
    session.on(
      'stream',
      (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, rawHeaders: string[]) => {
        // Its end comes as 'close', with its code.
        stream.on('error', () => undefined);
        this.#handle({
          stream,
          headers: forwardedHeaders(rawHeaders, headers),
          ended: (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0,
        });
      },
    );
  }

  #handle(call: IncomingCall): void {
    const isPull = pullPath.test(String(call.headers[':path'])) && !call.ended;
    const handled = isPull
      ? handlePull(call, { ...this.#options, runtime: this.#runtime })
      : relay(call, this.#runtime);
    handled.catch((error: unknown) => {
      this.#options.log.error({ err: error }, 'a CRI call could not be handled');
      call.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    });
  }
}
