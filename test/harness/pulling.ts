import { createHash } from 'node:crypto';
import type { CriAuth } from './cri-client.ts';
import { type Descriptor, digestOf, type ImageManifest, mediaTypes } from './oci-layout.ts';
import { type StreamedAnswer, streamingGet } from './streaming-get.ts';

/** What is asked before the registry, as a hosts.toml names it. */
export interface MirrorHost {
  /** `http://127.0.0.1:port`. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface PulledImage {
  /** The image's reference. */
  readonly image: string;
  /** Digest of what the tag names. */
  readonly digest: string;
  /** The config's digest. */
  readonly config: string;
}

/** containerd's own bounds: layers at once, and attempts in a row that bring no byte. */
const downloadsAtOnce = 3;
const futileAttempts = 3;
const accept = [mediaTypes.index, mediaTypes.manifest, '*/*'].join(', ');

/**
 * Pulls images over HTTP as containerd 1.6 does, without unpacking: a HEAD for the tag, the manifest by digest, three blobs at
 * once, each request to the mirror first and to the registry where that refuses. A body that ends early goes on by range; one
 * that is reset fails the pull. Every byte is checked against its digest, and thrown away.
 */
export class Puller {
  readonly #mirror: MirrorHost | undefined;
  /** Digests that were received whole. */
  readonly #content = new Set<string>();

  constructor(mirror: MirrorHost | undefined) {
    this.#mirror = mirror;
  }

  /** Rejects with what the last one asked said, or with what was wrong with the bytes. */
  async pull(image: string, auth: CriAuth): Promise<PulledImage> {
    const [, registry = '', repository = '', tag, digest] =
      /^([^/]+)\/([^:@]+)(?::([^@]+))?(?:@(.+))?$/.exec(image) ?? [];
    const from = new Repository(registry, repository, auth, this.#mirror);
    const head = await from.ask(`manifests/${digest ?? tag ?? 'latest'}`, { method: 'HEAD' });
    const top = head.headers.get('docker-content-digest') ?? '';
    const manifest = await this.#manifest(from, top);
    const blobs = [manifest.config, ...manifest.layers].filter((blob) => !this.#content.has(blob.digest));
    const queue = [...new Map(blobs.map((blob) => [blob.digest, blob])).values()];
    const worker = async (): Promise<void> => {
      for (let blob = queue.shift(); blob !== undefined; blob = queue.shift()) {
        await receive(from, blob);
        this.#content.add(blob.digest);
      }
    };
    await Promise.all(Array.from({ length: downloadsAtOnce }, worker));
    return { image, digest: top, config: manifest.config.digest };
  }

  /** Forgets every blob. */
  clear(): void {
    this.#content.clear();
  }

  async #manifest(from: Repository, digest: string): Promise<ImageManifest> {
    const chunks: Buffer[] = [];
    await from.ask(`manifests/${digest}`, { onData: (bytes) => chunks.push(Buffer.from(bytes)) });
    const body = Buffer.concat(chunks);
    if (digestOf(body) !== digest) throw new Error(`the manifest ${digest} has the bytes of ${digestOf(body)}`);
    const manifest = JSON.parse(body.toString()) as ImageManifest & { readonly manifests?: readonly Descriptor[] };
    const own = manifest.manifests?.find((entry) => entry.platform?.architecture === 'amd64');
    return own === undefined ? manifest : await this.#manifest(from, own.digest);
  }
}

/** One blob, whole and right; rejects otherwise. */
async function receive(from: Repository, blob: Descriptor): Promise<void> {
  const hash = createHash('sha256');
  let offset = 0;
  for (let futile = 0; offset < blob.size && futile < futileAttempts; ) {
    const { received, end } = await from.ask(`blobs/${blob.digest}`, {
      from: offset,
      onData: (bytes) => hash.update(bytes),
    });
    offset += received;
    futile = received > 0 ? 0 : futile + 1;
    if (end !== 'complete' && end !== 'FIN') throw new Error(`${blob.digest}: ${end} after ${offset} bytes`);
  }
  const digest = `sha256:${hash.digest('hex')}`;
  if (offset !== blob.size) throw new Error(`${blob.digest}: ${offset} of ${blob.size} bytes came`);
  if (digest !== blob.digest) throw new Error(`${blob.digest}: unexpected commit digest ${digest}`);
}

interface Question {
  readonly method?: 'GET' | 'HEAD';
  /** The offset of the first byte that is wanted. */
  readonly from?: number;
  readonly onData?: (bytes: Uint8Array) => void;
}

/** A repository of a registry, and whoever is asked for it. */
class Repository {
  readonly #registry: string;
  readonly #path: string;
  readonly #auth: CriAuth;
  readonly #hosts: readonly MirrorHost[];

  constructor(registry: string, repository: string, auth: CriAuth, mirror: MirrorHost | undefined) {
    this.#registry = registry;
    this.#path = `/v2/${repository}/`;
    this.#auth = auth;
    const upstream = { url: `http://${registry}`, headers: {} };
    this.#hosts = mirror === undefined ? [upstream] : [mirror, upstream];
  }

  /** The first answer that is one; rejects with the last refusal. */
  async ask(what: string, question: Question): Promise<StreamedAnswer> {
    const { method = 'GET', from = 0, onData } = question;
    let refusal: unknown;
    for (const { url, headers } of this.#hosts) {
      const target = new URL(`${this.#path}${what}?ns=${encodeURIComponent(this.#registry)}`, url);
      const request = {
        method,
        headers: {
          accept,
          'user-agent': 'containerd/stand-in',
          ...headers,
          ...(from > 0 ? { range: `bytes=${from}-` } : {}),
        },
        ...(onData === undefined ? {} : { onData }),
      };
      try {
        let answer = await streamingGet(target, request);
        if (answer.status === 401 && /^basic/i.test(answer.headers.get('www-authenticate') ?? '')) {
          const authorization = this.#basic();
          if (authorization !== undefined) {
            answer = await streamingGet(target, { ...request, headers: { ...request.headers, authorization } });
          }
        }
        if (answer.status === (from > 0 ? 206 : 200)) return answer;
        refusal = new Error(`${method} ${target.href}: unexpected status ${answer.status}`);
      } catch (error) {
        refusal = error;
      }
    }
    throw refusal;
  }

  #basic(): string | undefined {
    const { username, password, auth } = this.#auth;
    if (auth) return `Basic ${auth}`;
    return username ? `Basic ${Buffer.from(`${username}:${password ?? ''}`).toString('base64')}` : undefined;
  }
}
