import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { Pool } from 'undici';
import { LOOPBACK_SECRET_HEADER } from '../../config/loopback.ts';
import type { Manifest, Repository } from '../../registry/types.ts';

/** As the registry client has it. Bytes. */
const maxManifestBytes = 4 * 1024 * 1024;

export interface MirrorReaderOptions {
  /** `mirror.port`. */
  readonly port: number;
  /** The loopback secret: this reader asks as the runtime does. */
  readonly secret: string;
  readonly repository: Repository;
}

/** Reads an image from the node's own mirror, as the runtime would. */
export class MirrorReader {
  readonly #pool: Pool;
  readonly #options: MirrorReaderOptions;

  constructor(options: MirrorReaderOptions) {
    this.#options = options;
    this.#pool = new Pool(`http://127.0.0.1:${options.port}`, { connections: 4 });
  }

  /** The manifest and its digest, as computed from the bytes. Rejects with what the mirror answered. */
  async manifest(reference: string): Promise<Manifest> {
    const { body, mediaType } = await this.#get(`manifests/${reference}`);
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of body) {
      length += chunk.length;
      if (length > maxManifestBytes) throw new Error(`the manifest has more than ${maxManifestBytes} bytes`);
      chunks.push(chunk);
    }
    const bytes = Buffer.concat(chunks);
    return { digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}`, mediaType, body: bytes };
  }

  async blob(digest: string): Promise<Readable> {
    return (await this.#get(`blobs/${digest}`)).body;
  }

  close(): Promise<void> {
    return this.#pool.destroy();
  }

  async #get(what: string): Promise<{ readonly body: Readable; readonly mediaType: string }> {
    const { repository, registry } = this.#options.repository;
    const { statusCode, headers, body } = await this.#pool.request({
      method: 'GET',
      path: `/v2/${repository}/${what}?ns=${encodeURIComponent(registry)}`,
      headers: { [LOOPBACK_SECRET_HEADER]: this.#options.secret },
    });
    if (statusCode === 200) return { body, mediaType: String(headers['content-type'] ?? '') };
    const answer = (await body.text()).slice(0, 1_000);
    throw new Error(`the mirror answers ${statusCode} for ${what}: ${messageOf(answer)}`);
  }
}

/** The message in a registry's error (OCI distribution, "Error Codes"); the text itself where it is none. */
function messageOf(answer: string): string {
  try {
    const parsed: unknown = JSON.parse(answer);
    const [first] = (parsed as { errors?: { message?: unknown }[] }).errors ?? [];
    return typeof first?.message === 'string' ? first.message : answer;
  } catch {
    return answer;
  }
}
