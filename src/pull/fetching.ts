import type { Swarm } from '../swarm/types.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Blob } from './blob.ts';
import { Fetcher, type FetcherOptions } from './fetcher.ts';
import { SwarmFetcher } from './swarm-fetcher.ts';

/** Brings the pieces of blobs into the store. */
export interface BlobFetcher {
  add(blob: Blob): void;
  /** Nobody is interested in the blob any more: what is under way for it ends. */
  remove(blob: Blob): void;
  /** Something has changed about what is wanted. */
  poke(): void;
  /** The blob's bytes were wrong, and are about to be dropped and fetched again. */
  spoiled(blob: Blob): void;
}

export interface FetchingOptions extends FetcherOptions {
  readonly swarm: Swarm | undefined;
  readonly store: FetcherOptions['store'] & ConstructorParameters<typeof SwarmFetcher>[0]['store'];
  readonly log: Logger;
}

/**
 * Through the swarm as long as it is usable, else from the origin; a blob that the swarm fails is fetched alone to its
 * end. Blobs move from one way to the other with what they have.
 */
export class Fetching implements BlobFetcher {
  readonly #options: FetchingOptions;
  readonly #alone: Fetcher;
  readonly #swarm: SwarmFetcher | undefined;
  readonly #ways = new Map<Blob, BlobFetcher>();
  /** Not through the swarm again. */
  readonly #failed = new WeakSet<Blob>();

  constructor(options: FetchingOptions) {
    const { swarm } = options;
    this.#options = options;
    this.#alone = new Fetcher({
      ...options,
      ...(swarm && { onPiece: (digest, index, crc32c) => swarm.obtained(digest, index, crc32c) }),
    });
    this.#swarm =
      swarm && new SwarmFetcher({ ...options, swarm, goAlone: (blob, reason) => this.#goAlone(blob, reason) });
    swarm?.onChange(() => {
      for (const blob of this.#ways.keys()) this.#move(blob);
    });
  }

  add(blob: Blob): void {
    const way = this.#wayFor(blob);
    this.#ways.set(blob, way);
    way.add(blob);
  }

  remove(blob: Blob): void {
    this.#ways.get(blob)?.remove(blob);
    this.#ways.delete(blob);
  }

  poke(): void {
    this.#alone.poke();
    this.#swarm?.poke();
  }

  spoiled(blob: Blob): void {
    this.#ways.get(blob)?.spoiled(blob);
  }

  #wayFor(blob: Blob): BlobFetcher {
    if (this.#swarm === undefined || !this.#options.swarm?.usable || this.#failed.has(blob)) return this.#alone;
    return this.#swarm;
  }

  #goAlone(blob: Blob, reason: string): void {
    this.#options.log.warn(
      { digest: blob.digest, cause: reason },
      'the swarm fails this blob; it comes from the origin',
    );
    this.#failed.add(blob);
    this.#move(blob);
  }

  #move(blob: Blob): void {
    const from = this.#ways.get(blob);
    const to = this.#wayFor(blob);
    if (from === undefined || from === to) return;
    from.remove(blob);
    this.#ways.set(blob, to);
    to.add(blob);
    to.poke();
  }
}
