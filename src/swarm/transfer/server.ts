import { createServer, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from '../../telemetry/log.ts';
import type { RemoteSpans } from '../../telemetry/remote-spans.ts';
import { TokenBucket } from '../../token-bucket.ts';
import type { PreheatHandler } from '../preheat/handler.ts';
import { preheatPath } from '../preheat/types.ts';
import type { TunnelHandler } from '../tunnel/handler.ts';
import { ConnectionCount } from './connection-count.ts';
import { type AnswerCounts, PieceHandler, refuse } from './piece-handler.ts';
import { slowestRate } from './protocol.ts';
import type { PieceProvider } from './types.ts';
import { UploadSlots } from './upload-slots.ts';

export interface PieceServerOptions {
  readonly provider: PieceProvider;
  readonly log: Logger;
  /** Seconds without progress after which a requester is given up (`p2p.transferTimeout`). */
  readonly transferTimeout: number;
  /** Bytes per second that leave at most. No limit without it. */
  readonly rateLimit?: number;
  /** By default they follow the measured uplink. */
  readonly slots?: UploadSlots;
  /** Connections from one address. Each agent opens four at most; several may share an address. */
  readonly connectionsPerAddress?: number;
  readonly maxConnections?: number;
  /** Seconds for a request's head. */
  readonly requestTimeout?: number;
  /** Bytes per second that a requester has to take. */
  readonly slowestRate?: number;
  /** Answers requests to bring an image here; without it there is no such path. */
  readonly preheat?: Pick<PreheatHandler, 'handle'>;
  /** Records what is done for the traces of others. */
  readonly spans?: RemoteSpans | undefined;
  /** Mirrors: answers CONNECT. Without it such connections are closed. */
  readonly tunnel?: Pick<TunnelHandler, 'handle'>;
}

export interface PieceServerStat extends AnswerCounts {
  readonly connections: number;
  readonly slots: number;
  /** Uploads now. */
  readonly active: number;
}

/** Serves pieces over the connections that the swarm's port (src/swarm/port) hands over. */
export interface PieceServer {
  accept(socket: Socket): void;
  /** Uploads that it serves at once, as of now. */
  readonly slots: number;
  stat(): PieceServerStat;
  /** Bytes by the requester's IP address; `others` for those that are not told apart any more. */
  readonly sentTo: ReadonlyMap<string, number>;
  /** Ends every connection; pieces that are being sent are released. */
  close(): Promise<void>;
}

/** Bytes of a request's head: a request of ours has 150, and up to 600 more with a trace. */
const maxHeaderBytes = 4096;
const defaultRequestTimeout = 10;
/** Seconds between requests. Longer than the client's: who asks should be the one who closes. */
const keepAliveTimeout = 60;
/** After so many a connection is closed: certificates are checked again, and no connection lives for ever. */
const requestsPerConnection = 10_000;
/**
 * In transfer timeouts: after so long a requester that takes nothing is given up. More than one, because the kernel asks for
 * more only when a third of its send buffer (4 MiB at most, tcp_wmem) is free: 14 s at 100 kB/s, without anything being wrong.
 */
const idleFactor = 2;
const defaultConnectionsPerAddress = 64;
const defaultMaxConnections = 2048;
/** Bytes that may go at once after a pause, as a share of a second's. */
const burstShare = 0.25;
const smallestBurst = 256 * 1024;

export function createPieceServer(options: PieceServerOptions): PieceServer {
  return new PieceHttpServer(options);
}

class PieceHttpServer implements PieceServer {
  readonly #maxConnections: number;
  readonly #server: Server;
  readonly #slots: UploadSlots;
  readonly #handler: PieceHandler;
  readonly #connections: ConnectionCount;

  constructor(options: PieceServerOptions) {
    const { provider, log, transferTimeout } = options;
    const now = (): number => performance.now();
    this.#slots = options.slots ?? new UploadSlots({ now });
    this.#handler = new PieceHandler({
      provider,
      log,
      slots: this.#slots,
      bucket: createBucket(options.rateLimit, now),
      transferTimeout,
      slowestRate: options.slowestRate ?? slowestRate,
      spans: options.spans,
    });
    this.#connections = new ConnectionCount(options.connectionsPerAddress ?? defaultConnectionsPerAddress);
    this.#maxConnections = options.maxConnections ?? defaultMaxConnections;
    this.#server = createHttp(options.requestTimeout ?? defaultRequestTimeout);
    this.#server.timeout = idleFactor * transferTimeout * 1000;
    this.#server.maxRequestsPerSocket = requestsPerConnection;
    this.#server.on('request', (request, response) => {
      const handler = request.url === preheatPath && options.preheat ? options.preheat : this.#handler;
      void handler.handle(request, response);
    });
    for (const event of ['checkContinue', 'checkExpectation'] as const) {
      this.#server.on(event, (_request, response: ServerResponse) => refuse(response, 417));
    }
    this.#server.on('upgrade', (_request, socket) => socket.destroy());
    this.#server.on('connect', (request, socket, early) => {
      if (options.tunnel === undefined) socket.destroy();
      else options.tunnel.handle(request, socket, early);
    });
    // Bytes that are no request: so that an administrator finds out on a closer look.
    this.#server.on('clientError', (error, socket) => {
      const { remoteAddress } = socket as Socket;
      log.debug({ err: error, remoteAddress }, 'a connection to the piece server was refused');
      socket.destroy();
    });
    // It never listens itself, and begins to look after its time limits with this event.
    this.#server.emit('listening');
  }

  get slots(): number {
    return this.#slots.count;
  }

  get sentTo(): ReadonlyMap<string, number> {
    return this.#handler.sentTo;
  }

  stat(): PieceServerStat {
    return {
      connections: this.#connections.total,
      slots: this.#slots.count,
      active: this.#slots.inUse,
      ...this.#handler.counts,
    };
  }

  accept(socket: Socket): void {
    if (this.#connections.total >= this.#maxConnections || !this.#connections.add(socket)) socket.destroy();
    else this.#server.emit('connection', socket);
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#connections.destroyAll();
    await closed;
  }
}

function createBucket(rate: number | undefined, now: () => number): TokenBucket | undefined {
  if (rate === undefined) return undefined;
  return new TokenBucket({ rate, burst: Math.max(smallestBurst, rate * burstShare), now });
}

function createHttp(requestTimeout: number): Server {
  return createServer({
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: requestTimeout * 1000,
    requestTimeout: requestTimeout * 1000,
    connectionsCheckingInterval: 1000,
    keepAliveTimeout: keepAliveTimeout * 1000,
    noDelay: true,
  });
}
