import { createWriteStream } from 'node:fs';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Writable } from 'node:stream';
import type { Manifest } from '../../registry/types.ts';

/** Writes an image into an OCI image layout (image-spec, image-layout.md), beside what is there. */
export class LayoutWriter {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Makes the layout if there is none. Rejects when the folder holds something else. */
  async open(): Promise<void> {
    await mkdir(path.join(this.#folder, 'blobs/sha256'), { recursive: true });
    const marker = path.join(this.#folder, 'oci-layout');
    const text = await readIfThere(marker);
    if (text === undefined) await writeFile(marker, `${JSON.stringify({ imageLayoutVersion: '1.0.0' })}\n`);
    else if (!text.includes('"imageLayoutVersion"')) throw new Error(`${marker} is not that of an OCI image layout`);
  }

  async has(digest: string, size: number): Promise<boolean> {
    const found = await stat(this.#blob(digest)).catch(() => undefined);
    return found?.size === size;
  }

  /** Where the blob's bytes go; nobody sees them before `keep`. */
  blobStream(digest: string): Writable {
    return createWriteStream(`${this.#blob(digest)}.part`);
  }

  /** The bytes were right. */
  async keep(digest: string): Promise<void> {
    await rename(`${this.#blob(digest)}.part`, this.#blob(digest));
  }

  async discard(digest: string): Promise<void> {
    await rm(`${this.#blob(digest)}.part`, { force: true });
  }

  async manifest({ digest, body }: Manifest): Promise<void> {
    await writeFile(`${this.#blob(digest)}.part`, body);
    await this.keep(digest);
  }

  /** Names the image in the layout's index; another one of the same name goes. */
  async name({ digest, mediaType, body }: Manifest, reference: string): Promise<void> {
    const file = path.join(this.#folder, 'index.json');
    const entry: IndexEntry = {
      mediaType,
      digest,
      size: body.length,
      annotations: { 'org.opencontainers.image.ref.name': reference },
    };
    const text = await readIfThere(file);
    const others = text === undefined ? [] : entriesOf(file, text).filter((other) => nameOf(other) !== reference);
    const index = {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [...others, entry],
    };
    await writeFile(`${file}.part`, `${JSON.stringify(index, null, 2)}\n`);
    await rename(`${file}.part`, file);
  }

  #blob(digest: string): string {
    return path.join(this.#folder, 'blobs', digest.replace(':', '/'));
  }
}

interface IndexEntry {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

function entriesOf(file: string, text: string): IndexEntry[] {
  const { manifests } = JSON.parse(text) as { manifests?: unknown };
  if (Array.isArray(manifests)) return manifests as IndexEntry[];
  throw new Error(`${file} is not the index of an OCI image layout`);
}

function nameOf({ annotations }: IndexEntry): string | undefined {
  return annotations?.['org.opencontainers.image.ref.name'];
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
