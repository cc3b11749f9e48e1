import type { Credentials, Repository } from '../registry/types.ts';
import type { Tier } from '../store/types.ts';
import { DeliveryOrder } from './delivery-order.ts';

/** Where a pull's bytes came from. Bytes. */
export interface BytesBySource {
  memory: number;
  disk: number;
  peer: number;
  origin: number;
}

/** Somebody's right to fetch from a repository, and the account of what was fetched in their name. */
export interface Source extends Repository {
  readonly credentials: Credentials;
  /** In which order its readers get their bytes. */
  readonly order: DeliveryOrder;
  readonly bytes: BytesBySource;
  /** Ids of the nodes that gave pieces. */
  readonly peers: Set<string>;
}

export function createSource(repository: Repository, credentials: Credentials): Source {
  return {
    registry: repository.registry,
    repository: repository.repository,
    credentials,
    order: new DeliveryOrder(),
    bytes: { memory: 0, disk: 0, peer: 0, origin: 0 },
    peers: new Set(),
  };
}

/** Books bytes that a reader got from a tier. */
export function countTier(source: Source, tier: Tier, length: number): void {
  source.bytes[tier] += length;
}
