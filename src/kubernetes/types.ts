/** What a failure of the Kubernetes API means for what to do next. */
export type KubernetesErrorKind =
  /** Kubeconfig, service account or certificate can't be used: an administrator must mend it. */
  | 'configuration'
  /** 401: the credentials are not accepted (any more). */
  | 'unauthorized'
  /** 403: the credentials are good, RBAC doesn't allow it. */
  | 'forbidden'
  | 'not-found'
  /** 409: there is one of that name already, or somebody changed it at the same time. */
  | 'conflict'
  /** 410: the resource version (or the page) is too old. List anew. */
  | 'gone'
  | 'rate-limited'
  /** Away, slow, cut or 5xx: the same may work later. */
  | 'unavailable'
  /** The answer is not what the API promises, or beyond a bound. */
  | 'invalid';

export class KubernetesError extends Error {
  override readonly name = 'KubernetesError';
  readonly kind: KubernetesErrorKind;
  /** Milliseconds that the server asked to wait (`Retry-After`). */
  readonly retryAfterMs: number | undefined;

  constructor(
    kind: KubernetesErrorKind,
    message: string,
    options: { readonly cause?: unknown; readonly retryAfterMs?: number | undefined } = {},
  ) {
    super(message, options);
    this.kind = kind;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** A collection of the API that can be listed and watched. */
export interface Resource {
  /** `/api/v1/nodes`, `/apis/<group>/<version>/namespaces/<namespace>/<plural>`. */
  readonly path: string;
  /** As RBAC calls it, for messages: `endpointslices.discovery.k8s.io in namespace shoal`. */
  readonly name: string;
}

/** An object as JSON. */
export type Content = Readonly<Record<string, unknown>>;

/** One object, its envelope checked, its content not. */
export interface KubernetesObject {
  /** Empty for what is in no namespace. */
  readonly namespace: string;
  readonly name: string;
  /** Opaque: compared for equality at most. */
  readonly resourceVersion: string;
  /** The whole object as parsed JSON. */
  readonly content: Content;
}

export interface ObjectList {
  readonly objects: readonly KubernetesObject[];
  /** From where a watch goes on. */
  readonly resourceVersion: string;
}

export type WatchEvent =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: KubernetesObject }
  /** Nothing changed up to this version. */
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string };

export interface ListOptions {
  readonly labelSelector?: string | undefined;
  /**
   * `any`: what the API server has in memory, which may be a little old, and costs etcd nothing; 10,000 nodes start on
   * it. `newest`: from etcd.
   */
  readonly freshness: 'any' | 'newest';
  readonly signal: AbortSignal;
}

export interface WatchOptions {
  readonly labelSelector?: string | undefined;
  readonly resourceVersion: string;
  /** Seconds after which the server shall end the watch. */
  readonly timeoutSeconds: number;
  readonly signal: AbortSignal;
}

export interface KubernetesClient {
  /** All pages. Rejects with a `KubernetesError`, or with the signal's reason. */
  list(resource: Resource, options: ListOptions): Promise<ObjectList>;
  /**
   * What happens after a resource version, as it arrives, until the server ends the watch. First comes an empty batch, when
   * the server has accepted the watch. Throws a `KubernetesError` (of kind `gone` when the version is too old), or the
   * signal's reason.
   */
  watch(resource: Resource, options: WatchOptions): AsyncIterable<readonly WatchEvent[]>;
  /** Ends every connection. */
  close(): Promise<void>;
}

/** A client that also works on single objects. */
export interface KubernetesEditor extends KubernetesClient {
  /** The object of that name. Rejects as `list` does. */
  get(resource: Resource, name: string, signal: AbortSignal): Promise<KubernetesObject>;
  /** Creates `object`. Rejects as `list` does; with kind `conflict` when there is one of its name. */
  create(resource: Resource, object: Content, signal: AbortSignal): Promise<KubernetesObject>;
  /** Lays a JSON merge patch (RFC 7386) over the object of that name. Rejects as `list` does. */
  patch(resource: Resource, name: string, patch: Content, signal: AbortSignal): Promise<KubernetesObject>;
}
