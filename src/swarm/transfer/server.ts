import { createServer as createHttp, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttps, type Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Logger } from '../../telemetry/log.ts';
import type { PeerCertificates } from '../tls/certificates.ts';
import { ConnectionCount } from './connection-count.ts';
import { listenAddress, type TransferSecurity } from './listen-address.ts';
import { busyHeader, checksumHeader, formatChecksum, parsePiecePath, slowestRate } from './protocol.ts';
import { parseRange } from './range.ts';
import { TokenBucket } from './token-bucket.ts';
import type { PieceProvider, ProvidedPiece } from './types.ts';
import { upload } from './upload.ts';
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
}

export interface PieceServerStat {
  readonly connections: number;
  readonly slots: number;
  readonly active: number;
  /** Answers by what they were. */
  readonly served: number;
  readonly busy: number;
  readonly absent: number;
  readonly bytes: number;
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
/** Seconds for a request's head, and for a TLS handshake. */
const requestTimeout = 10;
/** Seconds between requests. Longer than the client's: who asks should be the one who closes. */
const keepAliveTimeout = 60;
/** After so many a connection is closed: certificates are checked again, and no connection lives for ever. */
const requestsPerConnection = 10_000;
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
  readonly #bucket: TokenBucket | undefined;
  readonly #connections: ConnectionCount;
  readonly #stopReloading: (() => void) | undefined;
  #served = 0;
  #busy = 0;
  #absent = 0;
  #bytes = 0;

  constructor(options: PieceServerOptions) {
    const { security, rateLimit, transferTimeout } = options;
    const now = (): number => performance.now();
    this.#options = options;
    this.#host = listenAddress(security, options.host);
    this.#slots = options.slots ?? new UploadSlots({ now });
    if (rateLimit !== undefined) {
      const burst = Math.max(smallestBurst, rateLimit * burstShare);
      this.#bucket = new TokenBucket({ rate: rateLimit, burst, now });
    }
    this.#connections = new ConnectionCount(options.connectionsPerAddress ?? defaultConnectionsPerAddress);
    const certificates = security.kind === 'tls' ? security.certificates : undefined;
    this.#server = createServer(certificates);
    if (certificates !== undefined) {
      const server = this.#server as TlsServer;
      this.#stopReloading = certificates.onChange(() => server.setSecureContext(certificates.serverOptions));
    }
    // Counts as progress whatever the requester takes of what waits for it.
    this.#server.timeout = transferTimeout * 1000;
    this.#server.maxRequestsPerSocket = requestsPerConnection;
    this.#server.maxConnections = options.maxConnections ?? defaultMaxConnections;
    this.#server.on('connection', (socket: Socket) => {
      if (!this.#connections.add(socket)) socket.destroy();
    });
    this.#server.on('request', (request, response) => void this.#answer(request, response));
    for (const event of ['checkContinue', 'checkExpectation'] as const) {
      this.#server.on(event, (_request, response: ServerResponse) => refuse(response, 417));
    }
    this.#server.on('upgrade', (_request, socket) => socket.destroy());
    this.#server.on('clientError', (_error, socket) => socket.destroy());
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
      served: this.#served,
      busy: this.#busy,
      absent: this.#absent,
      bytes: this.#bytes,
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

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.sendDate = false;
    const key = parsePiecePath(request.url ?? '');
    if (request.method !== 'GET') return refuse(response, 405);
    if (request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined) {
      return refuse(response, 400);
    }
    if (key === undefined) return refuse(response, 404, true);
    if (!this.#slots.tryTake()) {
      this.#busy += 1;
      response.setHeader(busyHeader, '1');
      return refuse(response, 503, true);
    }
    const gone = new AbortController();
    response.once('close', () => gone.abort(new Error('the requester is gone')));
    let piece: ProvidedPiece | undefined;
    try {
      piece = await this.#options.provider.get(key, gone.signal);
      if (gone.signal.aborted) return;
      if (piece === undefined) {
        this.#absent += 1;
        refuse(response, 404, true);
        return;
      }
      await this.#send(request, response, piece, gone.signal);
    } catch (error) {
      // In the middle of a body the cut is the message; the requester takes another peer.
      response.destroy();
      if (!gone.signal.aborted) this.#options.log.warn({ err: error, ...key }, 'a piece could not be sent');
    } finally {
      piece?.release();
      this.#slots.release();
    }
  }

  async #send(
    request: IncomingMessage,
    response: ServerResponse,
    piece: ProvidedPiece,
    signal: AbortSignal,
  ): Promise<void> {
    const { length } = piece.bytes;
    const range = parseRange(request.headers.range, length);
    if (range === 'unsatisfiable') {
      response.setHeader('Content-Range', `bytes */${length}`);
      return refuse(response, 416, true);
    }
    if (range !== undefined) {
      response.statusCode = 206;
      response.setHeader('Content-Range', `bytes ${range.start}-${range.end - 1}/${length}`);
    }
    const body = range === undefined ? piece.bytes : piece.bytes.subarray(range.start, range.end);
    response.setHeader('Content-Type', 'application/octet-stream');
    response.setHeader('Content-Length', body.length);
    response.setHeader(checksumHeader, formatChecksum(piece.crc32c));
    // Some progress is not enough: a requester that takes its piece by the byte would hold slot and piece for ever.
    const patience = this.#options.transferTimeout + body.length / slowestRate;
    const tooSlow = setTimeout(() => response.destroy(), patience * 1000);
    try {
      await upload(response, body, { bucket: this.#bucket, signal, onSent: (bytes) => this.#sent(bytes) });
      this.#served += 1;
    } finally {
      clearTimeout(tooSlow);
    }
  }

  #sent(bytes: number): void {
    this.#bytes += bytes;
    this.#slots.sent(bytes);
  }
}

function createServer(certificates: PeerCertificates | undefined): Server | TlsServer {
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

/** An answer without a body. What was no request of ours ends the connection. */
function refuse(response: ServerResponse, status: number, keepAlive = false): void {
  response.sendDate = false;
  response.statusCode = status;
  response.setHeader('Content-Length', 0);
  if (!keepAlive) response.setHeader('Connection', 'close');
  response.end();
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
