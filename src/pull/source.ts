import type { Credentials, Repository } from '../registry/types.ts';
import type { TraceHeaders } from '../telemetry/trace-context.ts';
import { DeliveryOrder } from './delivery-order.ts';
import { type BytesBySource, layerSpan, noBytes, type ObservedPiece, type PullTrace } from './observer.ts';

/** Somebody's right to fetch from a repository, and the account of what was fetched in their name. */
export interface Source extends Repository {
  readonly credentials: Credentials;
  /** In which order its readers get their bytes. */
  readonly order: DeliveryOrder;
  readonly bytes: BytesBySource;
  /** Ids of the nodes that gave pieces. */
  readonly peers: Set<string>;
  /** Hears of what comes in its name. */
  readonly trace: PullTrace;
  /** What goes along with its requests where it is no pull of this node's, but work for another node's. */
  readonly headers?: TraceHeaders | undefined;
}

export function createSource(
  repository: Repository,
  credentials: Credentials,
  trace: PullTrace,
  headers?: TraceHeaders,
): Source {
  return {
    registry: repository.registry,
    repository: repository.repository,
    credentials,
    order: new DeliveryOrder(),
    bytes: noBytes(),
    peers: new Set(),
    trace,
    headers,
  };
}

/** What goes along with requests for a blob in its name; undefined where its pull is not recorded. */
export function traceOf({ trace, headers }: Source, digest: string): TraceHeaders | undefined {
  return headers ?? trace.scope?.headersFor(layerSpan(digest));
}

/** Books a piece on the account of the pull that it came for. */
export function countPiece(source: Source, piece: ObservedPiece): void {
  source.bytes[piece.source] += piece.bytes;
  if (piece.source !== 'origin' && piece.from !== undefined) source.peers.add(piece.from);
  source.trace.piece(piece);
}
