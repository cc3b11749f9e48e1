import type { Logger } from '../telemetry/log.ts';
import type { Detour } from './redirect.ts';

/** Why an object storage URL was left as it was. */
export type UnchangedReason =
  /** The signature covers the host (V2, V4: additional headers; X-Amz-…: always). */
  | 'signed-host'
  /** The bucket's acceleration host failed a moment ago. */
  | 'failing';

/** Redirects to object storage so far. */
export interface OssCounts {
  readonly accelerated: number;
  /** Accelerated ones that failed, and were fetched from the bucket's own host after all. */
  readonly fellBack: number;
  readonly unchanged: Readonly<Record<UnchangedReason, number>>;
}

/** Milliseconds that a bucket is left alone after its acceleration host failed: mostly, it isn't switched on for the bucket. */
const pauseMs = 600_000;
/** Buckets that are remembered at most; a registry has one or a few. */
const mostBuckets = 1000;

/** `<bucket>.oss-<region>[-internal].aliyuncs.com`; bucket names have no dots (help.aliyun.com, OSS "Bucket naming conventions"). */
const bucketHost = /^([a-z0-9][a-z0-9-]{1,61}[a-z0-9])\.oss-(?!accelerate)[a-z0-9-]{2,60}\.aliyuncs\.com$/;

/**
 * OSS transfer acceleration (`p2p.plusMode.ossInternetAccelerate`): sends presigned requests to the bucket's acceleration host, where
 * the signature allows it. V1 signs bucket and object, not the host; V2 and V4 only what `x-oss-additional-headers` names.
 */
export class OssAcceleration implements Detour {
  readonly #now: () => number;
  readonly #log: Pick<Logger, 'info' | 'warn'>;
  readonly #failedAt = new Map<string, number>();
  #accelerated = 0;
  #fellBack = 0;
  readonly #unchanged: Record<UnchangedReason, number> = { 'signed-host': 0, failing: 0 };

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number, log: Pick<Logger, 'info' | 'warn'>) {
    this.#now = now;
    this.#log = log;
  }

  get counts(): OssCounts {
    return { accelerated: this.#accelerated, fellBack: this.#fellBack, unchanged: { ...this.#unchanged } };
  }

  of(url: URL): URL | undefined {
    const bucket = url.port === '' ? bucketHost.exec(url.hostname)?.[1] : undefined;
    if (bucket === undefined) return undefined;
    const reason = this.#reasonAgainst(url);
    if (reason !== undefined) {
      this.#unchanged[reason] += 1;
      if (reason === 'signed-host' && this.#unchanged[reason] === 1) {
        const { hostname } = url;
        this.#log.info({ hostname }, 'the registry signs the host of its redirects: OSS acceleration is not possible');
      }
      return undefined;
    }
    this.#accelerated += 1;
    const accelerated = new URL(url);
    accelerated.hostname = `${bucket}.oss-accelerate.aliyuncs.com`;
    return accelerated;
  }

  failed(url: URL): void {
    this.#fellBack += 1;
    const { hostname } = url;
    this.#log.warn({ hostname }, 'OSS acceleration failed, and pauses: is transfer acceleration on for the bucket?');
    this.#failedAt.delete(hostname);
    this.#failedAt.set(hostname, this.#now());
    const [oldest] = this.#failedAt.keys();
    if (this.#failedAt.size > mostBuckets && oldest !== undefined) this.#failedAt.delete(oldest);
  }

  #reasonAgainst(url: URL): UnchangedReason | undefined {
    if (signsHost(url.searchParams)) return 'signed-host';
    const failedAt = this.#failedAt.get(url.hostname);
    return failedAt !== undefined && this.#now() - failedAt < pauseMs ? 'failing' : undefined;
  }
}

function signsHost(query: URLSearchParams): boolean {
  // Names of parameters are case-sensitive to OSS; whoever writes them in another way gets no acceleration by mistake.
  const values = (name: string) => [...query].filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);
  // The S3-compatible signature always covers it.
  if (values('x-amz-signature').length > 0) return true;
  const additional = values('x-oss-additional-headers').flatMap((value) => value.toLowerCase().split(';'));
  return additional.some((name) => name.trim() === 'host');
}
