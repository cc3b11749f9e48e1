import type { Credentials, ImageReference, Manifest } from '../registry/types.ts';
import { RegistryError } from '../registry/types.ts';
import type { ImageContents } from './image.ts';
import type { PullTrace } from './observer.ts';
import { createSource, type Source } from './source.ts';
import { PullError } from './types.ts';

export interface SessionOptions {
  readonly reference: ImageReference;
  readonly credentials: Credentials;
  readonly credentialsKey: string;
  /** The policy rule that let the pull in. */
  readonly rule: string;
  /** Asks the registry for the image, with these credentials. */
  readonly resolve: (signal: AbortSignal) => Promise<ImageContents>;
  readonly trace: PullTrace;
}

/**
 * One PullImage of the kubelet: the image, the pod's credentials, and what the registry showed for them. Credentials live
 * in memory and end with the session.
 */
export class Session {
  readonly reference: ImageReference;
  readonly credentialsKey: string;
  readonly rule: string;
  readonly source: Source;
  /** Digests of the blobs that the runtime asked for, and of those that are fetched before it does. */
  readonly requested = new Set<string>();
  readonly prefetching = new Set<string>();
  readonly #abort = new AbortController();
  readonly #image: Promise<ImageContents>;
  #contents: ImageContents | undefined;
  #fallenBack = false;
  #served = 0;
  #cause = '';

  /** Starts the check of the manifest at the registry, with the pod's credentials. */
  constructor(options: SessionOptions) {
    this.reference = options.reference;
    this.credentialsKey = options.credentialsKey;
    this.rule = options.rule;
    this.source = createSource(options.reference, options.credentials, options.trace);
    this.#image = options.resolve(this.#abort.signal).then(
      (contents) => {
        this.#contents = contents;
        options.trace.manifest(contents.layers);
        return contents;
      },
      (error: unknown) => {
        const refusal = asPullError(error);
        this.noteFailure(refusal);
        throw refusal;
      },
    );
    // Those who need the image await it; a session that nobody asks for may fail unheard.
    this.#image.catch(() => undefined);
  }

  get credentials(): Credentials {
    return this.source.credentials;
  }

  get fallenBack(): boolean {
    return this.#fallenBack;
  }

  /** Aborted when the session ends. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** What the registry showed for these credentials. Rejects with a `PullError` when it refused. */
  get image(): Promise<ImageContents> {
    return this.#image;
  }

  /** The same, when the check has passed already. */
  get contents(): ImageContents | undefined {
    return this.#contents;
  }

  /** The manifest that the session's check fetched, by tag or digest. */
  async manifest(reference: string): Promise<Manifest | undefined> {
    const contents = await this.#image;
    if (reference === this.reference.tag && this.reference.digest === undefined) return contents.root;
    return contents.manifests.get(reference);
  }

  /** The mirror answered a request of this pull with content. */
  noteServed(): void {
    this.#served += 1;
  }

  /** The last thing that went wrong, for the log line of a pull that failed. */
  noteFailure(error: PullError): void {
    if (error.kind === 'gone') return;
    this.#cause = error.message;
    this.source.trace.failed(error);
  }

  /** From now on the mirror refuses the image to the runtime. */
  fallBack(): { readonly served: number; readonly cause: string } {
    this.#fallenBack = true;
    if (this.#served > 0) this.source.trace.fellBack();
    return { served: this.#served, cause: this.#cause };
  }

  close(): void {
    this.#abort.abort(new PullError('gone', 'the pull has ended'));
  }
}

/** How a registry's refusal looks to the mirror: what the registry does not show to these credentials is not there. */
export function asPullError(error: unknown): PullError {
  if (error instanceof PullError) return error;
  if (!(error instanceof RegistryError)) {
    return new PullError('unavailable', error instanceof Error ? error.message : String(error), error);
  }
  switch (error.kind) {
    case 'unauthorized':
    case 'denied':
    case 'not-found':
      return new PullError('not-found', error.message, error);
    case 'rate-limited':
    case 'unavailable':
    case 'invalid':
      return new PullError('unavailable', error.message, error);
  }
}
