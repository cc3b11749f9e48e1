import type { BlobChunk, ManifestAnswer, MirrorBackend, OpenBlob, Requester } from '../../src/pull/types.ts';
import { PullError } from '../../src/pull/types.ts';
import { digestOf } from './oci-layout.ts';

interface StoredManifest {
  readonly mediaType: string;
  readonly body: Buffer;
}

/** The mirror's backend over bytes in memory, for what a test wants to decide itself. Counts what is asked and given back. */
export class ScriptedBackend implements MirrorBackend {
  readonly manifests = new Map<string, StoredManifest>();
  readonly blobs = new Map<string, Buffer>();
  /** Everything that was asked for, in order. */
  readonly requests: { readonly requester: Requester; readonly reference: string; readonly method?: string }[] = [];
  /** The ranges that were read, in order. */
  readonly reads: [start: number, end: number][] = [];
  /** The signals that the reads were given, in order. */
  readonly signals: AbortSignal[] = [];
  chunkBytes = 64 * 1024;
  /** Chunks that were given out and not released. */
  unreleased = 0;
  mostUnreleased = 0;
  releasedTwice = 0;
  /** Awaited before a manifest or an open blob is given; may throw or wait. */
  beforeOpen: (signal: AbortSignal) => unknown = () => undefined;
  /** Awaited before the chunk at `offset` is given; may throw or wait. */
  beforeChunk: (offset: number, signal: AbortSignal) => unknown = () => undefined;
  /** Called when `unreleased` has become 0. */
  onAllReleased: () => void = () => undefined;

  /** Stores a manifest under its tag and its digest. Gives the digest. */
  addManifest(tag: string, manifest: StoredManifest): string {
    const digest = digestOf(manifest.body);
    this.manifests.set(tag, manifest).set(digest, manifest);
    return digest;
  }

  addBlob(bytes: Buffer): string {
    const digest = digestOf(bytes);
    this.blobs.set(digest, bytes);
    return digest;
  }

  async manifest(
    requester: Requester,
    reference: string,
    method: 'GET' | 'HEAD',
    signal: AbortSignal,
  ): Promise<ManifestAnswer> {
    this.requests.push({ requester, reference, method });
    await this.beforeOpen(signal);
    const { mediaType, body } = found(this.manifests.get(reference), reference);
    return { digest: digestOf(body), mediaType, size: body.length, ...(method === 'GET' && { body }) };
  }

  async openBlob(requester: Requester, digest: string, signal: AbortSignal): Promise<OpenBlob> {
    this.requests.push({ requester, reference: digest });
    await this.beforeOpen(signal);
    const bytes = found(this.blobs.get(digest), digest);
    return { digest, size: bytes.length, read: (start, end, abort) => this.#read(bytes, start, end, abort) };
  }

  async *#read(bytes: Buffer, start: number, end: number, signal: AbortSignal): AsyncGenerator<BlobChunk> {
    this.reads.push([start, end]);
    this.signals.push(signal);
    for (let offset = start; offset < end; offset += this.chunkBytes) {
      await this.beforeChunk(offset, signal);
      yield this.#chunk(bytes.subarray(offset, Math.min(offset + this.chunkBytes, end)));
    }
  }

  #chunk(original: Buffer): BlobChunk {
    // A copy that is wiped on release: bytes that are still needed then reach the client as zeros.
    const bytes = Buffer.from(original);
    let released = false;
    this.unreleased += 1;
    this.mostUnreleased = Math.max(this.mostUnreleased, this.unreleased);
    return {
      bytes,
      release: () => {
        if (released) this.releasedTwice += 1;
        else this.unreleased -= 1;
        released = true;
        bytes.fill(0);
        if (this.unreleased === 0) this.onAllReleased();
      },
    };
  }
}

function found<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new PullError('not-found', `${name}: not there`);
  return value;
}
