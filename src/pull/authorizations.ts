import { LRUCache } from 'lru-cache';
import type { Repository } from '../registry/types.ts';
import type { ImageContents } from './image.ts';

/** Bytes of manifests that are remembered: some thousand images. */
const mostBytes = 32 * 1024 * 1024;
/** What an entry costs beside its manifests' bytes. */
const entryBytes = 512;

export interface AuthorizationsOptions {
  /** `p2p.authorizationTTL`, in milliseconds. 0: nothing is remembered. */
  readonly ttlMs: number;
  /** Milliseconds, never going back. */
  readonly now: () => number;
}

interface Accepted {
  readonly contents: ImageContents;
  readonly at: number;
}

/**
 * Images that a registry has shown to credentials not long ago. While the registry does not answer, that counts as its
 * answer: to the same credentials and for the same reference alone, so that an outage is no way round a pull secret.
 */
export class Authorizations {
  readonly #options: AuthorizationsOptions;
  readonly #accepted = new LRUCache<string, Accepted>({ maxSize: mostBytes, sizeCalculation: sizeOf });

  constructor(options: AuthorizationsOptions) {
    this.#options = options;
  }

  /** The registry has shown the image to these credentials. `key`: `credentialsKey`. */
  accepted(repository: Repository, reference: string, key: string, contents: ImageContents): void {
    const { ttlMs, now } = this.#options;
    if (ttlMs > 0) this.#accepted.set(nameOf(repository, reference, key), { contents, at: now() });
  }

  /** The registry has refused these credentials: what it said before counts no more. */
  refused(repository: Repository, reference: string, key: string): void {
    this.#accepted.delete(nameOf(repository, reference, key));
  }

  /** What the registry last showed to these credentials, and how long ago in milliseconds, if that still counts. */
  find(repository: Repository, reference: string, key: string): { contents: ImageContents; age: number } | undefined {
    const { ttlMs, now } = this.#options;
    const known = this.#accepted.get(nameOf(repository, reference, key));
    if (known === undefined) return undefined;
    const age = now() - known.at;
    return age < ttlMs ? { contents: known.contents, age } : undefined;
  }
}

function nameOf({ registry, repository }: Repository, reference: string, key: string): string {
  return `${key} ${registry}/${repository} ${reference}`;
}

function sizeOf({ contents }: Accepted): number {
  let bytes = entryBytes;
  for (const { body } of contents.manifests.values()) bytes += body.length;
  return bytes;
}
