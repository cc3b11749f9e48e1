import { createServer as createTcp, type Server, type Socket } from 'node:net';
import { createServer as createTls, type TLSSocket, type Server as TlsServer } from 'node:tls';
import type { PeerCertificates } from '../tls/certificates.ts';
import { ConnectionCount } from '../transfer/connection-count.ts';
import { listenAddress } from '../transfer/listen-address.ts';
import { tellProtocol } from './protocol-of.ts';
import type { ConnectionHandler, SwarmPort, SwarmPortOptions } from './types.ts';

/** An agent for each of a shard's 16,384 at most (src/swarm/limits.ts), and 2,048 connections for pieces, and as many more that come and go. */
const defaultMaxConnections = 20_480;
/** 64 for pieces, and four agents and their probes behind one address. */
const defaultConnectionsPerAddress = 128;
const defaultHandshakeTimeout = 10_000;

export function createSwarmPort(options: SwarmPortOptions): SwarmPort {
  return new Port(options);
}

/**
 * One listener for pieces (HTTP/1.1) and the directory (HTTP/2). With TLS one handshake serves both and its ALPN says which it
 * is, else the first bytes do.
 */
class Port implements SwarmPort {
  readonly #options: SwarmPortOptions;
  readonly #host: string | undefined;
  readonly #server: Server | TlsServer;
  readonly #connections: ConnectionCount;
  readonly #handshakeTimeoutMs: number;
  readonly #stopReloading: (() => void) | undefined;

  constructor(options: SwarmPortOptions) {
    const { security, log } = options;
    this.#options = options;
    this.#host = listenAddress(security, options.host);
    this.#handshakeTimeoutMs = options.handshakeTimeoutMs ?? defaultHandshakeTimeout;
    this.#connections = new ConnectionCount(options.connectionsPerAddress ?? defaultConnectionsPerAddress);
    if (security.kind === 'tls') {
      const server = this.#createTls(security.certificates);
      this.#server = server;
      this.#stopReloading = security.certificates.onChange(() =>
        server.setSecureContext(security.certificates.serverOptions),
      );
    } else this.#server = createTcp({ noDelay: true }, (socket) => this.#tell(socket));
    this.#server.maxConnections = options.maxConnections ?? defaultMaxConnections;
    this.#server.prependListener('connection', (socket: Socket) => {
      socket.on('error', (error) => {
        log.debug({ err: error, remoteAddress: socket.remoteAddress }, "a connection to the swarm's port broke");
      });
      if (!this.#connections.add(socket)) socket.destroy();
    });
  }

  get address(): { readonly host: string; readonly port: number } {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error("the swarm's port does not listen");
    return { host: address.address, port: address.port };
  }

  get connections(): number {
    return this.#connections.total;
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
        server.on('error', (error) => log.warn({ err: error }, "the swarm's port could not accept a connection"));
        resolve();
      });
    });
  }

  async close(): Promise<void> {
    this.#stopReloading?.();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#connections.destroyAll();
    await closed;
  }

  #createTls(certificates: PeerCertificates): TlsServer {
    const { log } = this.#options;
    const server = createTls({
      ...certificates.serverOptions,
      // HTTP/1.1 first: curl offers both, and is for pieces.
      ALPNProtocols: ['http/1.1', 'h2'],
      handshakeTimeout: this.#handshakeTimeoutMs,
      noDelay: true,
    });
    server.on('secureConnection', (socket: TLSSocket) => {
      socket.on('error', (error) => {
        log.debug({ err: error, remoteAddress: socket.remoteAddress }, "a connection to the swarm's port broke");
      });
      this.#handOver(socket, socket.alpnProtocol === 'h2' ? 'h2' : 'http/1.1');
    });
    // Certificates that are not accepted: so that an administrator finds out on a closer look.
    server.on('tlsClientError', (error, socket) => {
      log.debug({ err: error, remoteAddress: socket.remoteAddress }, "a connection to the swarm's port was refused");
      socket.destroy();
    });
    return server;
  }

  #tell(socket: Socket): void {
    if (socket.destroyed) return;
    tellProtocol(socket, this.#handshakeTimeoutMs, (protocol) => this.#handOver(socket, protocol));
  }

  #handOver(socket: Socket, protocol: 'http/1.1' | 'h2' | undefined): void {
    const { pieces, directory } = this.#options;
    const handlers: Record<'http/1.1' | 'h2', ConnectionHandler | undefined> = { 'http/1.1': pieces, h2: directory };
    const handler = protocol === undefined ? undefined : handlers[protocol];
    if (handler === undefined) socket.destroy();
    else handler.accept(socket);
  }
}

function listenError(error: NodeJS.ErrnoException, host: string | undefined, port: number): Error {
  const mend =
    error.code === 'EADDRINUSE'
      ? `another process listens on port ${port}. Stop it, or set p2p.port to the same free port on every node`
      : `${error.message}. Set p2p.port to a port that this process may listen on`;
  return new Error(
    `the swarm's port can't listen on ${host === undefined ? `port ${port}` : `${host}, port ${port}`}: ${mend}`,
    { cause: error },
  );
}
