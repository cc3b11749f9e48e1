import { LRUCache } from 'lru-cache';
import type { Native } from '../native/types.ts';
import { parseRegistry, parseRepository } from '../registry/reference.ts';
import type { Credentials, RegistryClient, Repository } from '../registry/types.ts';
import type { PieceKey, PieceStore, PinnedPiece } from '../store/types.ts';
import type { PieceProvider } from '../swarm/transfer/types.ts';
import type { Logger } from '../telemetry/log.ts';
import type { RemoteSpans } from '../telemetry/remote-spans.ts';
import { headersOf, type TraceContext, type TraceHeaders } from '../telemetry/trace-context.ts';
import { BlobTable } from './blob-table.ts';
import { Fetching } from './fetching.ts';
import { unobserved } from './observer.ts';
import { OriginFetch } from './origin-fetch.ts';
import { createSource } from './source.ts';

/** Blobs whose size, and from where, is remembered; a blob that is gone from its registry is noticed after this time. */
const sizesRemembered = 16_384;
const sizeTtlMs = 10 * 60_000;
/** Requests to one registry at once: a mirror fetches for everybody. */
const requestsPerRegistry = 16;
/** Pieces that are waited for at once, over all requesters; beyond that they are told that the mirror does not have it. */
const mostWaiting = 2_048;

export interface MirrorCacheOptions {
  readonly client: Pick<RegistryClient, 'fetchBlob' | 'headBlob'>;
  readonly store: PieceStore;
  readonly native: Native;
  /** Bytes (`p2p.v2.cache.blocksize`). */
  readonly blockBytes: number;
  /** `p2p.proxyFsParallels`. */
  readonly parallels: number;
  /** The mirror's own login at a registry. */
  readonly credentialsFor: (registry: string, signal: AbortSignal) => Promise<Credentials>;
  /** A piece is here: for who tells others of it. */
  readonly onPiece: (digest: string, index: number, crc32c: number) => void;
  readonly log: Logger;
  /** Milliseconds. */
  readonly now: () => number;
  /** Records what is fetched for the traces of others; without it nothing is. */
  readonly spans?: RemoteSpans | undefined;
}

/** A mirror's cache: pieces from the store, or fetched from the origin with the mirror's own login, once for all who ask. */
export class MirrorCache implements PieceProvider {
  readonly #options: MirrorCacheOptions;
  readonly #blobs: BlobTable;
  readonly #sizes = new LRUCache<string, Promise<number>>({ max: sizesRemembered, ttl: sizeTtlMs });
  #waiting = 0;

  constructor(options: MirrorCacheOptions) {
    this.#options = options;
    const fetcher = new Fetching({
      origin: new OriginFetch(options),
      store: options.store,
      swarm: undefined,
      parallels: options.parallels,
      requestsPerRegistry,
      onPiece: options.onPiece,
      log: options.log,
      now: options.now,
    });
    this.#blobs = new BlobTable({ ...options, fetcher, onMismatch: () => undefined });
  }

  get(key: PieceKey, signal?: AbortSignal): Promise<PinnedPiece | undefined> {
    return this.#options.store.get(key, signal);
  }

  async prepare(key: PieceKey, source: string, signal: AbortSignal, trace?: TraceContext): Promise<void> {
    if (this.#options.store.has(key) || this.#waiting >= mostWaiting) return;
    try {
      await this.fetch(key, source, signal, trace);
    } catch (error) {
      if (!signal.aborted) this.#options.log.debug({ err: error, source, ...key }, 'a piece is not to be had');
    }
  }

  /** Brings the piece here. Resolves with its CRC32C. Rejects with why it can't be had, or with the signal's reason. */
  async fetch(key: PieceKey, source: string, signal: AbortSignal, trace?: TraceContext): Promise<number> {
    const { spans } = this.#options;
    const work = spans && trace && spans.begin('origin', trace, { 'oci.digest': key.digest, 'shoal.from': source });
    this.#waiting += 1;
    try {
      const { crc32c, bytes } = await this.#fetch(
        key,
        parseSource(source),
        signal,
        trace?.sampled ? headersOf(trace) : undefined,
      );
      work?.done('fetched', bytes);
      return crc32c;
    } catch (error) {
      work?.done(signal.aborted ? 'left' : 'failed');
      throw error;
    } finally {
      this.#waiting -= 1;
    }
  }

  async #fetch(
    { digest, index }: PieceKey,
    repository: Repository,
    signal: AbortSignal,
    trace: TraceHeaders | undefined,
  ): Promise<{ readonly crc32c: number; readonly bytes: number }> {
    const credentials = await this.#options.credentialsFor(repository.registry, signal);
    const size = await this.#size(digest, repository, credentials, trace);
    const lease = this.#blobs.acquire(digest, size, createSource(repository, credentials, unobserved.direct, trace), 0);
    try {
      if (index >= lease.blob.layout.count) throw new RangeError(`${digest} has no piece ${index}`);
      const piece = await lease.blob.piece(index, signal);
      const { crc32c, bytes } = piece;
      piece.release();
      return { crc32c, bytes: bytes.length };
    } finally {
      lease.release();
    }
  }

  /** Asked of the registry, not believed of the requester: pieces are cut by it. */
  async #size(
    digest: string,
    repository: Repository,
    credentials: Credentials,
    trace: TraceHeaders | undefined,
  ): Promise<number> {
    const name = `${repository.registry}/${repository.repository} ${digest}`;
    let size = this.#sizes.get(name);
    if (size === undefined) {
      // Shared by all who ask meanwhile, so no single one's signal may end it; the client has bounds of its own.
      const signal = new AbortController().signal;
      const asked = this.#options.client.headBlob(repository, digest, { credentials, signal, trace });
      size = asked.then((answer) => answer.size);
      this.#sizes.set(name, size);
      size.catch(() => this.#sizes.delete(name));
    }
    return size;
  }
}

function parseSource(source: string): Repository {
  const slash = source.indexOf('/');
  return { registry: parseRegistry(source.slice(0, slash)), repository: parseRepository(source.slice(slash + 1)) };
}
