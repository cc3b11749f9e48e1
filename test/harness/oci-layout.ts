import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

/** Media types of the OCI image specification 1.1. */
export const mediaTypes = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
} as const;

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: { readonly architecture: string; readonly os: string };
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface ImageManifest {
  readonly schemaVersion: 2;
  readonly mediaType?: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

export interface ImageConfig {
  readonly architecture: string;
  readonly os: string;
  readonly rootfs: { readonly type: 'layers'; readonly diff_ids: readonly string[] };
  readonly [other: string]: unknown;
}

/** `sha256:…` of the bytes. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** An OCI image layout on disk, as umoci and skopeo read and write it (image-layout.md of the specification). */
export class OciLayout {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  async blob(digest: string): Promise<Buffer> {
    return await readFile(this.#blobPath(digest));
  }

  async addBlob(mediaType: string, bytes: Buffer): Promise<Descriptor> {
    const digest = digestOf(bytes);
    await mkdir(path.dirname(this.#blobPath(digest)), { recursive: true });
    await writeFile(this.#blobPath(digest), bytes);
    return { mediaType, digest, size: bytes.length };
  }

  async addJson(mediaType: string, value: unknown): Promise<Descriptor> {
    return await this.addBlob(mediaType, Buffer.from(JSON.stringify(value)));
  }

  async json<T>(digest: string): Promise<T> {
    return JSON.parse((await this.blob(digest)).toString()) as T;
  }

  /** The image (or index) that carries the tag. */
  async tagged(tag: string): Promise<Descriptor> {
    const index = JSON.parse(await readFile(path.join(this.folder, 'index.json'), 'utf8')) as {
      manifests: readonly Descriptor[];
    };
    const found = index.manifests.find((entry) => entry.annotations?.['org.opencontainers.image.ref.name'] === tag);
    if (found === undefined) throw new Error(`${this.folder} has no image tagged ${tag}`);
    return found;
  }

  /** Makes the descriptor the layout's only image, under this tag. */
  async tag(descriptor: Descriptor, tag: string): Promise<void> {
    const annotations = { 'org.opencontainers.image.ref.name': tag };
    await writeFile(path.join(this.folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    await writeFile(
      path.join(this.folder, 'index.json'),
      JSON.stringify({ schemaVersion: 2, manifests: [{ ...descriptor, annotations }] }),
    );
  }

  #blobPath(digest: string): string {
    return path.join(this.folder, 'blobs', ...digest.split(':'));
  }
}
