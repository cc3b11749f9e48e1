import type { Repository } from '../registry/types.ts';
import type { TraceScope } from '../telemetry/trace-scope.ts';

/** What the mirror needs of the pull room. */

/** Who asks the mirror. */
export interface Requester extends Repository {
  /**
   * True when the request carries the loopback secret that only the runtime's configuration has: only then may it ride
   * on a pull session's credentials.
   */
  readonly runtime: boolean;
  /** The request's own `Authorization` header, when it has one. */
  readonly authorization?: string;
  /** The request's Accept values, in order; empty when it has none. */
  readonly accept: readonly string[];
}

export interface ManifestAnswer {
  readonly digest: string;
  readonly mediaType: string;
  readonly size: number;
  /** Absent for HEAD. */
  readonly body?: Buffer;
}

/** Bytes on their way to the runtime: valid until `release`, which must be called exactly once. */
export interface BlobChunk {
  readonly bytes: Buffer;
  release(): void;
}

export interface OpenBlob {
  readonly digest: string;
  readonly size: number;
  /**
   * The bytes of [start, end), in order, in chunks of at most a piece (4 MiB). Only checked bytes come out; the blob's last piece
   * waits until the whole blob's SHA-256 was right, when the whole blob passes through here. Throws a `PullError` when
   * nothing came for the stall bound, or when the blob turned out to be wrong.
   */
  read(start: number, end: number, signal: AbortSignal): AsyncIterable<BlobChunk>;
}

export interface MirrorBackend {
  /** Rejects with a `PullError`. */
  manifest(
    requester: Requester,
    reference: string,
    method: 'GET' | 'HEAD',
    signal: AbortSignal,
  ): Promise<ManifestAnswer>;
  /** Checks that the requester may have the blob and knows its size. Rejects with a `PullError`. */
  openBlob(requester: Requester, digest: string, signal: AbortSignal): Promise<OpenBlob>;
  /** The recorded pull that the request rides on; undefined where there is none. */
  scopeOf?(requester: Requester): TraceScope | undefined;
}

export type PullErrorKind =
  /** The registry does not have it, or does not show it to these credentials, or Shoal was told to stay out: 404. */
  | 'not-found'
  /** Sessions with different credentials are open for the repository: 401 Basic, so that the runtime says which it is. */
  | 'challenge'
  /** The registry refused the request's own Authorization header: 401. */
  | 'unauthorized'
  /** Nothing to be had within the bound, registry down, out of memory: 503, and the runtime goes to the origin. */
  | 'unavailable'
  /** The registry's bytes are not what their digest says. 503. */
  | 'corrupt'
  /** Nobody waits for the answer any more. */
  | 'gone';

/** Why the mirror can't answer with content. The message names the cause; it carries no credential. */
export class PullError extends Error {
  readonly kind: PullErrorKind;
  constructor(kind: PullErrorKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'PullError';
    this.kind = kind;
  }
}
