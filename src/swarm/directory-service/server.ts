import {
  constants,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Logger } from '../../telemetry/log.ts';
import { Liveness } from '../port/liveness.ts';
import type { ConnectionHandler } from '../port/types.ts';
import { memberNames, namesAnyOf } from '../tls/names.ts';
import { AttendStream, isGone } from './attend-stream.ts';
import { attendPath, type GrpcStatus, grpcContentType, grpcStatus, statusTrailers } from './framing.ts';
import type { DirectoryHost } from './types.ts';

export interface DirectoryServerOptions {
  /** Absent where no shard can be: then the connections only answer probes. */
  readonly host?: DirectoryHost;
  /** This node's id, which nobody else has. */
  readonly self: string;
  readonly logger: Logger;
  /** Milliseconds after which a silent agent's stream is ended. */
  readonly silenceMs?: number;
  /** Milliseconds until a connection must have a stream, and a stream a hello. */
  readonly helloTimeoutMs?: number;
  readonly maxConnections?: number;
}

export interface DirectoryServerStat {
  readonly connections: number;
  /** Streams that ended because of what the agent had sent or not taken, or who it was. */
  readonly refused: number;
}

export interface DirectoryServer extends ConnectionHandler {
  stat(): DirectoryServerStat;
  /** Ends every connection. */
  close(): void;
}

export const defaultSilenceMs = 10_000;
const defaultHelloTimeout = 10_000;
/** One for each agent that a shard takes (src/swarm/limits.ts), and some that are about to be replaced. */
const defaultMaxConnections = 17_408;

/** One stream, and the one that replaces it. */
const streamsPerConnection = 2;
/** Milliseconds that the agent has to close a connection without streams. */
const farewellMs = 1_000;
/** A request of ours has 200 bytes of headers. */
const maxHeaderBytes = 4_096;

/** Serves `shoal.swarm.v1.Directory/Attend` over the connections that the swarm's port hands over. */
export function createDirectoryServer(options: DirectoryServerOptions): DirectoryServer {
  return new Http2DirectoryServer(options);
}

class Http2DirectoryServer implements DirectoryServer {
  readonly #options: DirectoryServerOptions;
  readonly #liveness: Liveness;
  readonly #sessions = new Map<ServerHttp2Session, Socket>();
  readonly #helloTimeoutMs: number;
  readonly #maxConnections: number;
  #refused = 0;

  constructor(options: DirectoryServerOptions) {
    this.#options = options;
    this.#liveness = new Liveness(options.silenceMs ?? defaultSilenceMs);
    this.#helloTimeoutMs = options.helloTimeoutMs ?? defaultHelloTimeout;
    this.#maxConnections = options.maxConnections ?? defaultMaxConnections;
  }

  stat(): DirectoryServerStat {
    return { connections: this.#sessions.size, refused: this.#refused };
  }

  accept(socket: Socket): void {
    if (this.#sessions.size >= this.#maxConnections) {
      socket.destroy();
      return;
    }
    const session = performServerHandshake(socket, {
      settings: { enablePush: false, maxConcurrentStreams: streamsPerConnection, maxHeaderListSize: maxHeaderBytes },
    });
    this.#sessions.set(session, socket);
    this.#liveness.watch(session, socket);
    // A connection without a stream is a probe's, or nobody's.
    let end = setTimeout(() => socket.destroy(), this.#helloTimeoutMs);
    let streams = 0;
    session.on('stream', (stream, headers) => {
      clearTimeout(end);
      streams += 1;
      stream.once('close', () => {
        streams -= 1;
        if (streams > 0) return;
        session.close();
        end = setTimeout(() => socket.destroy(), farewellMs);
      });
      this.#serve(stream, headers, socket);
    });
    session.on('error', (error) => {
      this.#options.logger.debug({ err: error, remoteAddress: socket.remoteAddress }, 'an agent is gone');
    });
    session.once('close', () => {
      clearTimeout(end);
      this.#sessions.delete(session);
      socket.destroy();
    });
  }

  close(): void {
    this.#liveness.close();
    for (const session of this.#sessions.keys()) session.destroy();
  }

  #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, socket: Socket): void {
    // A request may have been taken back, or its connection broken, in the same breath.
    stream.on('error', () => stream.close(constants.NGHTTP2_CANCEL));
    if (isGone(stream)) return;
    const { host, logger } = this.#options;
    const refused = refusalOf(headers);
    if (host === undefined || refused !== undefined) {
      // `shoal doctor` asks for nothing that is served: it wants the `Date` that an answer has by default.
      const trailers = statusTrailers(grpcStatus.unimplemented, refused ?? 'no shard of the directory is here');
      stream.respond({ ':status': 200, 'content-type': grpcContentType, ...trailers }, { endStream: true });
      return;
    }
    new AttendStream(stream, {
      host,
      helloTimeoutMs: this.#helloTimeoutMs,
      patienceMs: this.#options.silenceMs ?? defaultSilenceMs,
      refusal: (id) => (id === this.#options.self ? 'the id is of the shard itself' : refusalOfName(id, socket)),
      refused: (code: GrpcStatus, reason, id) => {
        this.#refused += 1;
        logger.warn({ agent: id, remoteAddress: socket.remoteAddress, code, reason }, "an agent's stream was refused");
      },
    });
  }
}

function refusalOf(headers: IncomingHttpHeaders): string | undefined {
  const contentType = headers['content-type'] ?? '';
  if (headers[':method'] !== 'POST' || !contentType.startsWith(grpcContentType)) return 'not a gRPC request';
  return headers[':path'] === attendPath ? undefined : `not served here: only ${attendPath} is`;
}

/** Under TLS an agent speaks for the id alone that its certificate names. */
function refusalOfName(id: string, socket: Socket): string | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  return namesAnyOf(socket.getPeerCertificate(), memberNames(id))?.message;
}
