import { createHash } from 'node:crypto';
import {
  type BlobOptions,
  type Credentials,
  type Manifest,
  type RegistryClient,
  RegistryError,
  type Repository,
} from '../../src/registry/types.ts';

export const digestOf = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** A fetch of a blob's range, as the client under test asked for it. */
export interface Fetch {
  readonly digest: string;
  readonly start: number;
  readonly end: number;
  readonly credentials: Credentials;
}

/** An image whose layers are the given bytes; the manifest's digest is computed. */
export function imageOf(layers: readonly Buffer[], config: Buffer = Buffer.from('{}')) {
  const type = 'application/vnd.oci.image.manifest.v1+json';
  const descriptor = (mediaType: string, bytes: Buffer) => ({ mediaType, digest: digestOf(bytes), size: bytes.length });
  const body = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: type,
      config: descriptor('application/vnd.oci.image.config.v1+json', config),
      layers: layers.map((layer) => descriptor('application/vnd.oci.image.layer.v1.tar', layer)),
    }),
  );
  const manifest: Manifest = { digest: digestOf(body), mediaType: type, body };
  return { manifest, blobs: [config, ...layers] };
}

/**
 * The registry client's interface over bytes in memory, for what a test wants to decide itself: who is let in, what goes
 * wrong and when. Counts what is asked of it.
 */
export class ScriptedClient implements RegistryClient {
  readonly manifests = new Map<string, Manifest>();
  readonly blobs = new Map<string, Buffer>();
  readonly fetches: Fetch[] = [];
  readonly heads: string[] = [];
  manifestRequests = 0;
  chunkBytes = 64 * 1024;
  /** Throws to refuse a request. */
  authorize: (credentials: Credentials) => void = () => {};
  /** Awaited before a chunk is delivered; may throw, wait, or give other bytes. */
  beforeChunk: (fetch: Fetch, offset: number, chunk: Buffer) => Promise<Buffer> | Buffer = (_fetch, _offset, chunk) =>
    chunk;
  /** Answers a range with the whole blob. */
  ignoreRanges = false;

  add(tag: string, image: ReturnType<typeof imageOf>): void {
    this.manifests.set(tag, image.manifest).set(image.manifest.digest, image.manifest);
    for (const blob of image.blobs) this.blobs.set(digestOf(blob), blob);
  }

  /** Bytes of blobs that were asked for, ranges asked for twice counted twice. */
  get askedBytes(): number {
    return this.fetches.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  async getManifest(
    _repository: Repository,
    reference: string,
    options: { credentials: Credentials },
  ): Promise<Manifest> {
    this.manifestRequests += 1;
    this.authorize(options.credentials);
    return found(this.manifests.get(reference), reference);
  }

  async headManifest(repository: Repository, reference: string, options: { credentials: Credentials }) {
    const { digest, mediaType, body } = await this.getManifest(repository, reference, options);
    return { digest, mediaType, size: body.length };
  }

  async headBlob(_repository: Repository, digest: string, options: { credentials: Credentials }) {
    this.heads.push(digest);
    this.authorize(options.credentials);
    return { size: found(this.blobs.get(digest), digest).length };
  }

  async fetchBlob(_repository: Repository, digest: string, options: BlobOptions) {
    const { credentials, range, signal, onData } = options;
    const fetch: Fetch = { digest, start: range.start, end: range.end, credentials };
    this.fetches.push(fetch);
    this.authorize(credentials);
    const blob = found(this.blobs.get(digest), digest);
    if (blob.length !== options.size) throw new RegistryError('invalid', `${digest} has ${blob.length} bytes`);
    for (let offset = range.start; offset < range.end; offset += this.chunkBytes) {
      const chunk = blob.subarray(offset, Math.min(offset + this.chunkBytes, range.end));
      const delivered = await this.beforeChunk(fetch, offset, chunk);
      signal?.throwIfAborted();
      await onData(delivered);
    }
    return { ranged: !this.ignoreRanges, wireBytes: this.ignoreRanges ? blob.length : range.end - range.start };
  }

  async close(): Promise<void> {}
}

function found<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new RegistryError('not-found', `${name}: not there`, { status: 404 });
  return value;
}
