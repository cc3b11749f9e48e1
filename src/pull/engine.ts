import type { Native } from '../native/types.ts';
import { credentialsFromAuthConfig, credentialsKey } from '../registry/credentials.ts';
import { parseImageReference } from '../registry/reference.ts';
import type { AuthConfig, Credentials, RegistryClient, Repository, RequestOptions } from '../registry/types.ts';
import type { PieceStore } from '../store/types.ts';
import type { Swarm } from '../swarm/types.ts';
import type { Logger } from '../telemetry/log.ts';
import type { TraceScope } from '../telemetry/trace-scope.ts';
import { untilAborted } from '../until-aborted.ts';
import { decideAccess } from './access.ts';
import { Authorizations } from './authorizations.ts';
import { BlobTable } from './blob-table.ts';
import { type CheckOptions, checkImage } from './check.ts';
import { Fetching } from './fetching.ts';
import type { ImageContents } from './image.ts';
import {
  type BytesBySource,
  manifestSpan,
  type ObservedPull,
  type PullObserver,
  type PullOutcome,
  unobserved,
} from './observer.ts';
import { OriginFetch } from './origin-fetch.ts';
import type { Policy, PolicyPod, PolicyStep } from './policy.ts';
import { layersAhead } from './prefetch.ts';
import { readBlob } from './reader.ts';
import { asPullError, Session } from './session.ts';
import { createSource, type Source, traceOf } from './source.ts';
import { type ManifestAnswer, type MirrorBackend, type OpenBlob, PullError, type Requester } from './types.ts';

export interface PullEngineOptions {
  readonly client: RegistryClient;
  readonly store: PieceStore;
  readonly native: Native;
  readonly policy: Policy;
  /** The store's block in bytes (`p2p.v2.cache.blocksize`). */
  readonly blockBytes: number;
  /** `p2p.proxyFsParallels`. */
  readonly parallels: number;
  readonly log: Logger;
  /** `p2p.authorizationTTL`, in seconds; 0 or absent: a registry that is down lets nobody in. */
  readonly authorizationTTL?: number;
  /** The other nodes; absent where there are none. */
  readonly swarm?: Swarm;
  /** Hears of every pull; nobody does by default. */
  readonly observer?: PullObserver;
  /** Milliseconds, never going back; for tests. */
  readonly now?: () => number;
}

/** A pull that the kubelet asked for. */
export interface PullRequest {
  readonly image: string;
  readonly auth: AuthConfig;
  /** Absent when the request named no sandbox. */
  readonly pod?: PolicyPod & { readonly name: string; readonly uid?: string };
  /** W3C trace context of the request. */
  readonly traceparent?: string;
  readonly tracestate?: string;
}

export type OpenResult =
  | { readonly kind: 'accepted'; readonly rule: string; readonly pull: AcceptedPull }
  | { readonly kind: 'declined'; readonly reason: string };

export interface PullSummary {
  /** Config and layers as the manifest tells; 0 when the registry showed no manifest. */
  readonly imageBytes: number;
  readonly bytes: BytesBySource;
  /** Nodes that gave some of it. */
  readonly peers: number;
  readonly rule: string;
}

/** Why a pull would be accelerated, or not. */
export interface Explanation extends Repository {
  readonly accelerate: boolean;
  readonly rule: string;
  /** The rules in their order, up to the one that decides. */
  readonly steps: readonly PolicyStep[];
}

/** An open session, as the supervisor's side of the engine sees it. */
export interface AcceptedPull {
  /** From now on the mirror refuses this image to the runtime. `served`: its requests answered with content so far. */
  fallBack(): { readonly served: number; readonly cause: string };
  summary(): PullSummary;
  /** Digests of config and layers, in the order of unpacking. Rejects with a `PullError` when the registry refused. */
  blobs(): Promise<readonly string[]>;
  /** Ends prefetching and forgets the credentials. Without an outcome the pull counts as cancelled. */
  close(outcome?: PullOutcome): void;
}

/** Composes registry, store and mirror: sessions open and close, the mirror's requests find their session and their bytes. */
export class PullEngine implements MirrorBackend {
  readonly #options: PullEngineOptions;
  readonly #blobs: BlobTable;
  readonly #sessions = new Map<string, Set<Session>>();
  readonly #check: CheckOptions;
  readonly #observer: PullObserver;

  constructor(options: PullEngineOptions) {
    this.#options = options;
    const now = options.now ?? (() => performance.now());
    const authorizations = new Authorizations({ ttlMs: (options.authorizationTTL ?? 0) * 1000, now });
    this.#check = { client: options.client, authorizations, log: options.log };
    const fetcher = new Fetching({
      origin: new OriginFetch({ ...options, now }),
      store: options.store,
      swarm: options.swarm,
      parallels: options.parallels,
      log: options.log,
      now,
    });
    this.#observer = options.observer ?? unobserved;
    this.#blobs = new BlobTable({ ...options, fetcher, onMismatch: (digest) => this.#observer.mismatched(digest) });
  }

  /** Never throws: what Shoal can't accelerate it declines, with the reason, and the runtime pulls by itself. */
  open(request: PullRequest): OpenResult {
    try {
      const reference = parseImageReference(request.image);
      const decision = this.#options.policy.pull(reference, request.pod);
      if (!decision.accelerate) return { kind: 'declined', reason: decision.rule };
      const credentials = credentialsFromAuthConfig(request.auth, reference.registry);
      const question = { reference, credentials, credentialsKey: credentialsKey(credentials) };
      const trace = this.#observer.opened(observed(request, decision.rule), request.tracestate);
      const session = new Session({
        ...question,
        rule: decision.rule,
        resolve: (signal) =>
          checkImage(this.#check, { ...question, trace: trace.scope?.headersFor(manifestSpan) }, signal),
        trace,
      });
      return { kind: 'accepted', rule: decision.rule, pull: this.#start(session) };
    } catch (error) {
      return { kind: 'declined', reason: error instanceof Error ? error.message : String(error) };
    }
  }

  /** What would become of a pull, rule by rule. Throws a `RegistryError` for an image reference that is none. */
  explain({ image, pod }: Pick<PullRequest, 'image' | 'pod'>): Explanation {
    const { registry, repository } = parseImageReference(image);
    const { policy } = this.#options;
    const repositoryOf = { registry, repository };
    return { ...repositoryOf, ...policy.pull(repositoryOf, pod), steps: policy.explain(repositoryOf, pod) };
  }

  async manifest(
    requester: Requester,
    reference: string,
    method: 'GET' | 'HEAD',
    signal: AbortSignal,
  ): Promise<ManifestAnswer> {
    const { session, credentials } = this.#access(requester);
    const known = session && (await untilAborted(session.manifest(reference), signal));
    if (session && known && accepts(requester.accept, known.mediaType)) {
      session.noteServed();
      return answer(known, method);
    }
    const options = {
      credentials,
      signal,
      trace: session?.source.trace.scope?.headersFor(manifestSpan),
      ...(requester.accept.length > 0 && { accept: requester.accept }),
    };
    try {
      const found =
        method === 'HEAD'
          ? await this.#options.client.headManifest(requester, reference, options)
          : answer(await this.#options.client.getManifest(requester, reference, options), method);
      session?.noteServed();
      return found;
    } catch (error) {
      throw asPullError(error);
    }
  }

  async openBlob(requester: Requester, digest: string, signal: AbortSignal): Promise<OpenBlob> {
    const { session, credentials } = this.#access(requester);
    if (session === undefined) {
      const size = await this.#blobSize(requester, digest, { credentials, signal });
      const source = createSource(requester, credentials, this.#observer.direct);
      return this.#openBlob(digest, size, { source, rank: 0 });
    }
    const contents = await untilAborted(session.image, signal);
    const trace = traceOf(session.source, digest);
    const size =
      contents.sizes.get(digest) ?? (await this.#blobSize(requester, digest, { credentials, signal, trace }));
    session.noteServed();
    this.#prefetch(session, contents, digest);
    return this.#openBlob(digest, size, {
      source: session.source,
      rank: rankOf(contents, digest),
      onFailure: (error) => session.noteFailure(error),
    });
  }

  /** The recorded pull that a request rides on. */
  scopeOf(requester: Requester): TraceScope | undefined {
    const access = decideAccess(requester, [...(this.#sessions.get(nameOf(requester)) ?? [])]);
    return access.kind === 'session' ? access.session.source.trace.scope : undefined;
  }

  #access(requester: Requester): { readonly session?: Session; readonly credentials: Credentials } {
    const access = decideAccess(requester, [...(this.#sessions.get(nameOf(requester)) ?? [])]);
    const { policy } = this.#options;
    const decision = access.kind === 'own' ? policy.direct(requester) : policy.registry(requester);
    if (!decision.accelerate) throw new PullError('not-found', `not accelerated: ${decision.rule}`);
    switch (access.kind) {
      case 'session':
        return { session: access.session, credentials: access.session.credentials };
      case 'own':
        return { credentials: access.credentials };
      case 'stay-out':
        throw new PullError('not-found', `${nameOf(requester)}: the runtime pulls it from the registry itself`);
      case 'challenge':
        throw new PullError('challenge', `${nameOf(requester)}: pulls with different credentials are under way`);
    }
  }

  /** Asks the registry: the answer also says whether these credentials may have the blob at all. */
  async #blobSize(repository: Repository, digest: string, options: RequestOptions): Promise<number> {
    try {
      return (await this.#options.client.headBlob(repository, digest, options)).size;
    } catch (error) {
      throw asPullError(error);
    }
  }

  #openBlob(
    digest: string,
    size: number,
    reader: { readonly source: Source; readonly rank: number; readonly onFailure?: (error: PullError) => void },
  ): OpenBlob {
    const blobs = this.#blobs;
    const { source, rank, onFailure } = reader;
    return {
      digest,
      size,
      async *read(start, end, signal) {
        const lease = blobs.acquire(digest, size, source, rank);
        source.trace.requested(digest, size);
        try {
          yield* readBlob(lease.blob, source, start, end, signal);
        } catch (error) {
          onFailure?.(asPullError(error));
          throw error;
        } finally {
          lease.release();
        }
      },
    };
  }

  #start(session: Session): AcceptedPull {
    const name = nameOf(session.reference);
    const sessions = this.#sessions.get(name) ?? new Set();
    this.#sessions.set(name, sessions.add(session));
    return {
      fallBack: () => session.fallBack(),
      blobs: async () => [...(await session.image).sizes.keys()],
      summary: () => ({
        imageBytes: session.contents?.bytes ?? 0,
        bytes: { ...session.source.bytes },
        peers: session.source.peers.size,
        rule: session.rule,
      }),
      close: (outcome = { result: 'cancelled' }) => {
        session.source.trace.ended(outcome);
        session.close();
        sessions.delete(session);
        if (sessions.size === 0) this.#sessions.delete(name);
      },
    };
  }

  #prefetch(session: Session, contents: ImageContents, digest: string): void {
    session.requested.add(digest);
    for (const layer of layersAhead(contents.layers, session.requested)) {
      if (session.prefetching.has(layer.digest)) continue;
      session.prefetching.add(layer.digest);
      const lease = this.#blobs.acquire(layer.digest, layer.size, session.source, rankOf(contents, layer.digest));
      const interest = {
        from: 0,
        to: lease.blob.layout.count,
        whole: true,
        reads: false,
        aheadBytes: Number.POSITIVE_INFINITY,
      };
      lease.blob.addInterest(interest);
      const end = () => {
        lease.blob.removeInterest(interest);
        lease.release();
      };
      session.signal.addEventListener('abort', end, { once: true });
    }
  }
}

/** A layer's place in the manifest; the config comes before them all. */
function rankOf({ layers }: ImageContents, digest: string): number {
  return layers.findIndex((layer) => layer.digest === digest);
}

function observed({ image, pod, traceparent }: PullRequest, rule: string): ObservedPull {
  const { namespace = '', name = '', uid } = pod ?? {};
  return {
    image,
    rule,
    ...(name && { pod: { namespace, name, ...(uid && { uid }) } }),
    ...(traceparent !== undefined && { traceparent }),
  };
}

function nameOf({ registry, repository }: Repository): string {
  return `${registry}/${repository}`;
}

function answer(
  { digest, mediaType, body }: { digest: string; mediaType: string; body: Buffer },
  method: 'GET' | 'HEAD',
): ManifestAnswer {
  return { digest, mediaType, size: body.length, ...(method === 'GET' && { body }) };
}

/** Whether a client that sent these Accept values (none: anything goes) can take the type. Parameters play no part. */
function accepts(accept: readonly string[], mediaType: string): boolean {
  if (accept.length === 0) return true;
  const types = accept.flatMap((value) => value.split(',')).map((value) => value.split(';')[0]?.trim().toLowerCase());
  const wanted = mediaType.split(';')[0]?.trim().toLowerCase() ?? '';
  return types.some((type) => type === wanted || type === '*/*' || type === `${wanted.split('/')[0]}/*`);
}
