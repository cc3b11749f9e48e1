import { setTimeout as delay } from 'node:timers/promises';
import type { Native } from '../../native/types.ts';
import type { TraceHeaders } from '../../telemetry/trace-context.ts';
import { TokenBucket } from '../../token-bucket.ts';
import type { Peer } from '../messages.ts';
import type { PeerCertificates } from '../tls/certificates.ts';
import type { Connection } from './connection.ts';
import { dial } from './dial.ts';
import { PeerConnections } from './peer-connections.ts';
import { formatChecksum, largestPiece, pieceTarget } from './protocol.ts';
import { type PieceKey, TransferError, type TransferFailure } from './types.ts';
import { WaitingLine } from './waiting-line.ts';

export interface PieceClientOptions {
  readonly native: Pick<Native, 'crc32c'>;
  /** Seconds for a connection (`p2p.connectTimeout`). */
  readonly connectTimeout: number;
  /** Seconds without progress after which a transfer is given up (`p2p.transferTimeout`). */
  readonly transferTimeout: number;
  /** Requests at once, over all peers (`p2p.proxyFsParallels`). */
  readonly maxRequests: number;
  /** Bytes per second. No limit without it. */
  readonly rateLimit?: number;
  /** Connections to one peer; more than a few only take its bandwidth from others. */
  readonly connectionsPerPeer?: number;
  /** Seconds that an idle connection is kept. Shorter than the server's: who asks should be the one who closes. */
  readonly idleTimeout?: number;
  /** Mutual TLS. Without it: plain TCP. */
  readonly certificates?: PeerCertificates;
}

export interface PieceRequest {
  readonly peer: Peer;
  readonly key: PieceKey;
  /** What the directory says, not the peer. Undefined: there is nobody to say it, the whole blob's SHA-256 has to do. */
  readonly crc32c: number | undefined;
  /** `<registry>/<repository>`: for a mirror, which may have to fetch the piece. */
  readonly source?: string;
  /** Memory for exactly the piece: the store's. Nothing is written to it once `fetch` has ended. */
  readonly destination: Buffer;
  readonly signal?: AbortSignal;
  /** The trace that it belongs to, where that is recorded. */
  readonly trace?: TraceHeaders | undefined;
}

export interface PieceClientStat {
  readonly active: number;
  readonly connections: number;
  readonly pieces: number;
  readonly bytes: number;
  readonly failures: Readonly<Record<TransferFailure, number>>;
}

export interface PieceClient {
  /**
   * Gets a piece from a peer into memory, checks its CRC32C, and resolves with it. Rejects with a `TransferError` that says what
   * the peer did, or with the signal's reason.
   */
  fetch(request: PieceRequest): Promise<number>;
  stat(): PieceClientStat;
  /** Ends everything; open fetches reject. */
  close(): void;
}

const defaultConnectionsPerPeer = 4;
const defaultIdleTimeout = 20;

export function createPieceClient(options: PieceClientOptions): PieceClient {
  return new Client(options);
}

class Client implements PieceClient {
  readonly #options: PieceClientOptions;
  readonly #peers = new Map<string, PeerConnections>();
  readonly #ceiling: WaitingLine;
  readonly #bucket: TokenBucket | undefined;
  readonly #closing = new AbortController();
  readonly #failures: Record<TransferFailure, number> = { absent: 0, busy: 0, unreachable: 0, corrupt: 0 };
  #pieces = 0;
  #bytes = 0;

  constructor(options: PieceClientOptions) {
    this.#options = options;
    this.#ceiling = new WaitingLine(options.maxRequests);
    const rate = options.rateLimit;
    if (rate !== undefined) this.#bucket = new TokenBucket({ rate, burst: rate, now: () => performance.now() });
  }

  async fetch(request: PieceRequest): Promise<number> {
    const { destination, signal } = request;
    if (destination.length === 0 || destination.length > largestPiece) {
      throw new RangeError(`a piece of ${destination.length} bytes: pieces have 1 to ${largestPiece}`);
    }
    signal?.throwIfAborted();
    let taken = await this.#takeTokens(destination.length, signal);
    try {
      const crc32c = await this.#fromPeer(request);
      taken = 0;
      this.#pieces += 1;
      this.#bytes += destination.length;
      return crc32c;
    } catch (error) {
      if (error instanceof TransferError) {
        this.#failures[error.kind] += 1;
        if (error.kind === 'corrupt') taken = 0;
      }
      throw error;
    } finally {
      if (taken > 0) this.#bucket?.giveBack(taken);
    }
  }

  stat(): PieceClientStat {
    let connections = 0;
    for (const peer of this.#peers.values()) connections += peer.size;
    const { inside: active } = this.#ceiling;
    return { active, connections, pieces: this.#pieces, bytes: this.#bytes, failures: { ...this.#failures } };
  }

  close(): void {
    const reason = new TransferError('unreachable', 'the agent stops');
    this.#closing.abort(reason);
    for (const peer of this.#peers.values()) peer.close(reason);
    this.#ceiling.dismiss(reason);
  }

  /**
   * The limit is kept by asking later, for a whole piece: a request that has begun runs at full speed, because a
   * slow one would hold an upload slot that others need.
   */
  async #takeTokens(bytes: number, signal?: AbortSignal): Promise<number> {
    const bucket = this.#bucket;
    if (bucket === undefined) return 0;
    const wait = bucket.take(bytes);
    if (wait > 0) {
      const ends = AbortSignal.any(signal ? [signal, this.#closing.signal] : [this.#closing.signal]);
      try {
        await delay(wait, undefined, { signal: ends });
      } catch {
        bucket.giveBack(bytes);
        throw ends.reason;
      }
    }
    return bytes;
  }

  async #fromPeer(request: PieceRequest): Promise<number> {
    const { peer, signal } = request;
    this.#closing.signal.throwIfAborted();
    const name = `${peer.id} ${peer.address}`;
    const connections = this.#connectionsTo(name, peer);
    try {
      return await connections.run((connection) => this.#get(connection, request), signal);
    } finally {
      this.#forgetUnused(name, connections);
    }
  }

  async #get(connection: Connection, request: PieceRequest): Promise<number> {
    const { peer, crc32c, destination, signal, trace } = request;
    const { native, transferTimeout } = this.#options;
    const actual = await connection.get(pieceTarget(request), destination, {
      checksum: native.crc32c,
      transferTimeout,
      signal,
      trace,
    });
    if (crc32c === undefined || actual === crc32c) return actual;
    connection.close();
    const checksums = `${formatChecksum(actual)} instead of ${formatChecksum(crc32c)}`;
    throw new TransferError('corrupt', `${peer.address}: bytes with the CRC32C ${checksums}`);
  }

  #connectionsTo(name: string, peer: Peer): PeerConnections {
    const known = this.#peers.get(name);
    if (known !== undefined) return known;
    const { certificates, connectTimeout } = this.#options;
    const connections = new PeerConnections({
      peer: peer.address,
      connect: (onread) => dial(peer, { onread, ...(certificates && { certificates }) }),
      event: certificates === undefined ? 'connect' : 'secureConnect',
      most: this.#options.connectionsPerPeer ?? defaultConnectionsPerPeer,
      ceiling: this.#ceiling,
      connectTimeout,
      idleTimeout: this.#options.idleTimeout ?? defaultIdleTimeout,
      onEmpty: () => this.#forgetUnused(name, connections),
    });
    this.#peers.set(name, connections);
    return connections;
  }

  #forgetUnused(name: string, connections: PeerConnections): void {
    if (connections.unused && this.#peers.get(name) === connections) this.#peers.delete(name);
  }
}
