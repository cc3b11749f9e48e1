import { createServer as createHttp, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttps, type Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Logger } from '../../telemetry/log.ts';
import type { PeerCertificates } from '../tls/certificates.ts';
import { ConnectionCount } from './connection-count.ts';
import { listenAddress, type TransferSecurity } from './listen-address.ts';
import { type AnswerCounts, PieceHandler, refuse } from './piece-handler.ts';
import { slowestRate } from './protocol.ts';
import { TokenBucket } from './token-bucket.ts';
import type { PieceProvider } from './types.ts';
import { UploadSlots } from './upload-slots.ts';

export interface PieceServerOptions {
  readonly provider: PieceProvider;
  readonly log: Logger;
  readonly security: TransferSecurity;
  /** `p2p.port`; 0: any free one. */
  readonly port: number;
  /** Where to listen: by default on every address, or on loopback where nothing protects the pieces. */
  readonly host?: string;
  /** Seconds without progress after which a requester is given up (`p2p.transferTimeout`). */
  readonly transferTimeout: number;
  /** Bytes per second that leave at most. No limit without it. */
  readonly rateLimit?: number;
  /** By default they follow the measured uplink. */
  readonly slots?: UploadSlots;
  /** Connections from one address. Each agent opens four at most; several may share an address. */
  readonly connectionsPerAddress?: number;
  readonly maxConnections?: number;
  /** Seconds for a request's head, and for a TLS handshake. */
  readonly requestTimeout?: number;
  /** Bytes per second that a requester has to take. */
  readonly slowestRate?: number;
}

export interface PieceServerStat extends AnswerCounts {
  readonly connections: number;
  readonly slots: number;
  /** Uploads now. */
  readonly active: number;
}

export interface PieceServer {
  /** Rejects when the port is not to be had. */
  listen(): Promise<void>;
  /** Where it listens. Throws before `listen` has resolved. */
  readonly address: { readonly host: string; readonly port: number };
  /** Uploads that it serves at once, as of now. */
  readonly slots: number;
  stat(): PieceServerStat;
  /** Ends every connection; pieces that are being sent are released. */
  close(): Promise<void>;
}

/** Bytes of a request's head: a request of ours has 150. */
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
  readonly #options: PieceServerOptions;
  readonly #server: Server | TlsServer;
  readonly #host: string | undefined;
  readonly #slots: UploadSlots;
  readonly #handler: PieceHandler;
  readonly #connections: ConnectionCount;
  readonly #stopReloading: (() => void) | undefined;

  constructor(options: PieceServerOptions) {
    const { provider, log, security, transferTimeout } = options;
    const now = (): number => performance.now();
    this.#options = options;
    this.#host = listenAddress(security, options.host);
    this.#slots = options.slots ?? new UploadSlots({ now });
    this.#handler = new PieceHandler({
      provider,
      log,
      slots: this.#slots,
      bucket: createBucket(options.rateLimit, now),
      transferTimeout,
      slowestRate: options.slowestRate ?? slowestRate,
    });
    this.#connections = new ConnectionCount(options.connectionsPerAddress ?? defaultConnectionsPerAddress);
    const certificates = security.kind === 'tls' ? security.certificates : undefined;
    this.#server = createServer(certificates, options.requestTimeout ?? defaultRequestTimeout);
    if (certificates !== undefined) {
      const server = this.#server as TlsServer;
      this.#stopReloading = certificates.onChange(() => server.setSecureContext(certificates.serverOptions));
    }
    this.#server.timeout = idleFactor * transferTimeout * 1000;
    this.#server.maxRequestsPerSocket = requestsPerConnection;
    this.#server.maxConnections = options.maxConnections ?? defaultMaxConnections;
    this.#server.on('connection', (socket: Socket) => {
      if (!this.#connections.add(socket)) socket.destroy();
    });
    this.#server.on('request', (request, response) => void this.#handler.handle(request, response));
    for (const event of ['checkContinue', 'checkExpectation'] as const) {
      this.#server.on(event, (_request, response: ServerResponse) => refuse(response, 417));
    }
    this.#server.on('upgrade', (_request, socket) => socket.destroy());
    // Bytes that are no request, and certificates that are not accepted: so that an administrator finds out on a closer look.
    this.#server.on('clientError', (error, socket) => {
      const { remoteAddress } = socket as Socket;
      log.debug({ err: error, remoteAddress }, 'a connection to the piece server was refused');
      socket.destroy();
    });
  }

  get address(): { readonly host: string; readonly port: number } {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the piece server does not listen');
    return { host: address.address, port: address.port };
  }

  get slots(): number {
    return this.#slots.count;
  }

  stat(): PieceServerStat {
    return {
      connections: this.#connections.total,
      slots: this.#slots.count,
      active: this.#slots.inUse,
      ...this.#handler.counts,
    };
  }

  listen(): Promise<void> {
    const { log, port } = this.#options;
    const host = this.#host;
    const server = this.#server;
    return new Promise((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException): void => reject(listenError(error, host, port));
      server.once('error', failed);
      server.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
        server.off('error', failed);
        // A connection that can't be accepted (no file descriptors left) is not the end of the others.
        server.on('error', (error) => log.warn({ err: error }, 'the piece server could not accept a connection'));
        resolve();
      });
    });
  }

  async close(): Promise<void> {
    this.#stopReloading?.();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    // http knows no connection before its handshake is through.
    this.#server.closeAllConnections();
    this.#connections.destroyAll();
    await closed;
  }
}

function createBucket(rate: number | undefined, now: () => number): TokenBucket | undefined {
  if (rate === undefined) return undefined;
  return new TokenBucket({ rate, burst: Math.max(smallestBurst, rate * burstShare), now });
}

function createServer(certificates: PeerCertificates | undefined, requestTimeout: number): Server | TlsServer {
  const bounds = {
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: requestTimeout * 1000,
    requestTimeout: requestTimeout * 1000,
    connectionsCheckingInterval: 1000,
    keepAliveTimeout: keepAliveTimeout * 1000,
    noDelay: true,
  };
  if (certificates === undefined) return createHttp(bounds);
  return createHttps({ ...bounds, ...certificates.serverOptions, handshakeTimeout: requestTimeout * 1000 });
}

function listenError(error: NodeJS.ErrnoException, host: string | undefined, port: number): Error {
  const mend =
    error.code === 'EADDRINUSE'
      ? `another process listens on port ${port}. Stop it, or set p2p.port to the same free port on every node`
      : `${error.message}. Set p2p.port to a port that this process may listen on`;
  return new Error(
    `the piece server can't listen on ${host === undefined ? `port ${port}` : `${host}, port ${port}`}: ${mend}`,
    { cause: error },
  );
}
