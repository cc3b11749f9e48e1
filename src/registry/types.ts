import type { TraceHeaders } from '../telemetry/trace-context.ts';

/** What the other rooms may know of the registry room. */

/** A repository at a registry. `registry` is canonical: `docker.io`, never `index.docker.io`; `host[:port]` otherwise. */
export interface Repository {
  readonly registry: string;
  readonly repository: string;
}

/** A parsed image reference. At least one of `tag` and `digest` is set after normalisation (`latest` by default). */
export interface ImageReference extends Repository {
  readonly tag?: string;
  /** `sha256:…`; wins over the tag when both are there. */
  readonly digest?: string;
}

/** How a request proves itself to a registry. Values stay in memory and are never logged. */
export type Credentials =
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token (docker's identity token). */
  | { readonly kind: 'identity-token'; readonly token: string }
  /** A bearer token that goes to the registry as it is. */
  | { readonly kind: 'registry-token'; readonly token: string }
  /** An `Authorization` header that a client of the mirror sent itself, forwarded to the registry as it is. */
  | { readonly kind: 'authorization'; readonly header: string };

/** CRI's AuthConfig: every field may be empty. */
export interface AuthConfig {
  readonly username?: string;
  readonly password?: string;
  /** base64 of `username:password`. */
  readonly auth?: string;
  readonly serverAddress?: string;
  readonly identityToken?: string;
  readonly registryToken?: string;
}

/** Common to every request to a registry. */
export interface RequestOptions {
  readonly credentials: Credentials;
  readonly signal?: AbortSignal;
  /** The trace that it belongs to, for registries that are told (`telemetry.traces.registries`). */
  readonly trace?: TraceHeaders | undefined;
}

export interface ManifestOptions extends RequestOptions {
  /** The client's Accept values, forwarded as they are. All known manifest types when absent. */
  readonly accept?: readonly string[];
}

/** A manifest exactly as the registry sent it; `digest` was computed from `body` (SHA-256), never taken on trust. */
export interface Manifest {
  readonly digest: string;
  readonly mediaType: string;
  readonly body: Buffer;
}

/** Half-open range of bytes: `start <= i < end`. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface BlobOptions extends RequestOptions {
  readonly range: ByteRange;
  /** The blob's whole size, from its descriptor or a HEAD: a registry that tells another one is refused. */
  readonly size: number;
  /**
   * Receives the range's bytes in order, without gaps. The chunk belongs to the client again when `onData` returns (or
   * the promise it returned resolves): copy it. A returned promise pauses the transfer until it resolves. After a
   * resumed connection `onData` simply goes on.
   */
  readonly onData: (chunk: Buffer) => void | Promise<void>;
}

export interface BlobResult {
  /** False when the registry ignored the range and sent the whole blob: ask it for whole blobs from now on. */
  readonly ranged: boolean;
  /** Bytes that came over the wire, those skipped or received twice included. */
  readonly wireBytes: number;
}

/** The origin, as the pull room sees it. */
export interface RegistryClient {
  /** GET of a manifest by tag or digest. By digest the body is checked against it. */
  getManifest(repository: Repository, reference: string, options: ManifestOptions): Promise<Manifest>;
  /** HEAD of a manifest; falls back to GET where the registry's HEAD lacks digest, type or length. */
  headManifest(
    repository: Repository,
    reference: string,
    options: ManifestOptions,
  ): Promise<{ digest: string; mediaType: string; size: number }>;
  /** HEAD of a blob. */
  headBlob(repository: Repository, digest: string, options: RequestOptions): Promise<{ size: number }>;
  /** GET of a part of a blob; resumes after a cut connection, retries what is worth retrying, rejects otherwise. */
  fetchBlob(repository: Repository, digest: string, options: BlobOptions): Promise<BlobResult>;
  close(): Promise<void>;
}

/** Why a registry did not give what was asked for. */
export type RegistryErrorKind =
  /** 401, or the token server refused the credentials. */
  | 'unauthorized'
  /** 403. */
  | 'denied'
  /** 404. */
  | 'not-found'
  /** 429 after the bounded retries. */
  | 'rate-limited'
  /** Refused, unreachable, timed out, 5xx, cut too often. */
  | 'unavailable'
  /** The registry's answer is not what the protocol allows: wrong size, wrong digest, no length. */
  | 'invalid';

/** Names the request, the cause and, where one is known, the mend; never carries a credential. */
export class RegistryError extends Error {
  readonly kind: RegistryErrorKind;
  readonly status: number | undefined;
  constructor(kind: RegistryErrorKind, message: string, options?: { status?: number; cause?: unknown }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'RegistryError';
    this.kind = kind;
    this.status = options?.status;
  }
}
