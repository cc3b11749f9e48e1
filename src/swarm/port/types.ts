import type { Socket } from 'node:net';
import type { Logger } from '../../telemetry/log.ts';
import type { TransferSecurity } from '../transfer/listen-address.ts';

/** Serves connections that the port has accepted and, with TLS, authenticated. */
export interface ConnectionHandler {
  accept(socket: Socket): void;
}

export interface SwarmPortOptions {
  readonly security: TransferSecurity;
  /** `p2p.port`; 0: any free one. */
  readonly port: number;
  /** Where to listen: by default on every address, or on loopback where nothing protects the node. */
  readonly host?: string;
  /** HTTP/1.1: pieces. Without it such connections are closed. */
  readonly pieces?: ConnectionHandler;
  /** HTTP/2: the directory. Without it such connections are closed, and no probe of this port succeeds. */
  readonly directory?: ConnectionHandler;
  /** Connections at once, and of them from one address. */
  readonly maxConnections?: number;
  readonly connectionsPerAddress?: number;
  /** Milliseconds for a TLS handshake, and until the first bytes tell which protocol it is. */
  readonly handshakeTimeoutMs?: number;
  readonly log: Logger;
}

/** The one port that other nodes reach. */
export interface SwarmPort {
  /** Rejects when the port is not to be had. */
  listen(): Promise<void>;
  /** Where it listens. Throws before `listen` has resolved. */
  readonly address: { readonly host: string; readonly port: number };
  readonly connections: number;
  /** Takes no more connections and ends those that stand. */
  close(): Promise<void>;
}
