import { createHash } from 'node:crypto';
import { type Clock, systemClock } from '../clock.ts';
import type { Logger } from '../telemetry/log.ts';
import { BodyCollector } from './answer.ts';
import { Connections, type TunnelRule } from './dispatcher.ts';
import type { RegistryHosts } from './endpoint.ts';
import { TransientError } from './failure.ts';
import { Origin, type Question } from './origin.ts';
import { createProxyRule, type Environment } from './proxy.ts';
import type { Detour } from './redirect.ts';
import { isDigest, parseTagOrDigest } from './reference.ts';
import { RetryBudget, type RetryLimits, retrying } from './retry.ts';
import { RangeTransfer } from './transfer.ts';
import {
  type BlobOptions,
  type BlobResult,
  type Manifest,
  type ManifestOptions,
  type RegistryClient,
  RegistryError,
  type Repository,
  type RequestOptions,
} from './types.ts';

export interface RegistryClientOptions {
  /** `registries.hosts` of the configuration. */
  readonly hosts: RegistryHosts;
  /** Seconds to establish a connection. */
  readonly connectTimeout: number;
  /** Seconds without a byte after which an answer is given up and, for a blob, resumed. */
  readonly transferTimeout: number;
  /** Connections to one origin at most (`p2p.proxyFsParallels`). */
  readonly parallels: number;
  /** For HTTP_PROXY, HTTPS_PROXY and NO_PROXY. */
  readonly environment: Environment;
  /** Tunnels through mirrors, for nodes without a way out. */
  readonly tunnelFor?: TunnelRule | undefined;
  /** Another way to what the registry redirects to. */
  readonly detour?: Detour | undefined;
  /** Registries that are told of the trace (`telemetry.traces.registries`). */
  readonly tracing?: readonly string[] | undefined;
  readonly clock?: Clock;
}

/** The manifest types that a node's runtime can use, indexes first. */
const manifestTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];

/** The limit of distribution's registry and of containerd's resolver, and the least that the OCI specification asks for. */
const maxManifestBytes = 4 * 1024 * 1024;

/** Milliseconds for one try of a request with a small answer. */
const metadataDeadlineMs = 30_000;

/** Makes the client of all registries. Throws a `RegistryError` of kind `invalid` for an unusable CA file or proxy. */
export function createRegistryClient(options: RegistryClientOptions, log: Logger): RegistryClient {
  return new OriginClient(options, log);
}

class OriginClient implements RegistryClient {
  readonly #connections: Connections;
  readonly #origin: Origin;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #metadataLimits: RetryLimits;
  readonly #blobLimits: RetryLimits;

  constructor(options: RegistryClientOptions, log: Logger) {
    this.#log = log;
    this.#clock = options.clock ?? systemClock;
    this.#connections = new Connections({
      hosts: options.hosts,
      proxyFor: createProxyRule(options.environment),
      tunnelFor: options.tunnelFor,
      connectTimeoutMs: options.connectTimeout * 1000,
      transferTimeoutMs: options.transferTimeout * 1000,
      connections: options.parallels,
    });
    const { hosts, detour, tracing } = options;
    this.#origin = new Origin({ hosts, connections: this.#connections, clock: this.#clock, detour, tracing });
    // One stall must leave time for one more try; undici notices a stall up to a second late.
    const patienceMs = 2 * options.transferTimeout * 1000 + 1000;
    this.#metadataLimits = { fruitless: 4, total: 4, waitMs: 5_000, patienceMs, firstWaitMs: 100 };
    this.#blobLimits = { fruitless: 4, total: 32, waitMs: 10_000, patienceMs, firstWaitMs: 100 };
  }

  async getManifest(repository: Repository, reference: string, options: ManifestOptions): Promise<Manifest> {
    const answer = new BodyCollector(maxManifestBytes);
    const description = await this.#askManifest('GET', repository, reference, options, answer);
    if (answer.truncated) throw invalid(description, `a manifest of more than ${maxManifestBytes} bytes`);
    const mediaType = answer.header('content-type');
    if (mediaType === undefined) throw invalid(description, 'a manifest without Content-Type');
    const { body } = answer;
    const digest = `sha256:${createHash('sha256').update(body).digest('hex')}`;
    const announced = answer.header('docker-content-digest');
    for (const expected of [reference, announced]) {
      if (expected !== undefined && isDigest(expected) && expected !== digest) {
        throw invalid(description, `a manifest whose digest is ${digest} instead of ${expected}`);
      }
    }
    return { digest, mediaType, body };
  }

  async headManifest(
    repository: Repository,
    reference: string,
    options: ManifestOptions,
  ): Promise<{ digest: string; mediaType: string; size: number }> {
    const answer = new BodyCollector(0);
    try {
      const description = await this.#askManifest('HEAD', repository, reference, options, answer);
      const digest = answer.header('docker-content-digest');
      const mediaType = answer.header('content-type');
      const size = contentLength(answer);
      if (digest !== undefined && isDigest(digest) && mediaType !== undefined && size !== undefined) {
        if (isDigest(reference) && digest !== reference) {
          throw invalid(description, `a manifest whose digest is ${digest} instead of ${reference}`);
        }
        return { digest, mediaType, size };
      }
    } catch (error) {
      // Method not allowed: some registries have no HEAD.
      if (!(error instanceof RegistryError) || error.status !== 405) throw error;
    }
    const { digest, mediaType, body } = await this.getManifest(repository, reference, options);
    return { digest, mediaType, size: body.length };
  }

  async headBlob(repository: Repository, digest: string, options: RequestOptions): Promise<{ size: number }> {
    const answer = new BodyCollector(0);
    const path = `blobs/${parseDigest(digest)}`;
    const { credentials, signal, trace } = options;
    const headers = identity;
    await this.#askMetadata(
      { method: 'HEAD', repository, path, headers, credentials, signal, immutable: true, trace },
      answer,
    );
    const size = contentLength(answer);
    if (size === undefined) throw invalid(describeContent('HEAD', repository, path), 'a blob without Content-Length');
    return { size };
  }

  async fetchBlob(repository: Repository, digest: string, options: BlobOptions): Promise<BlobResult> {
    const path = `blobs/${parseDigest(digest)}`;
    const description = describeContent('GET', repository, path);
    const budget = new RetryBudget(this.#blobLimits, this.#clock);
    const transfer = new RangeTransfer(options, description, () => budget.progressed());
    const { credentials, signal, trace } = options;
    const about = { repository, path, credentials, signal, trace };
    const attempt = async () => {
      const range = transfer.rangeHeader;
      const headers = { ...identity, ...(range !== undefined && { range }) };
      const question: Question = { method: 'GET', ...about, headers, immutable: true };
      await this.#origin.ask(question, transfer.reader());
      if (transfer.missing !== undefined) {
        const message = `${description}: the answer ended at byte ${transfer.missing.start} of ${options.range.end}`;
        throw new TransientError('unavailable', message);
      }
    };
    if (transfer.missing !== undefined) await this.#retrying(attempt, budget, signal);
    return { ranged: transfer.ranged, wireBytes: transfer.wireBytes };
  }

  close(): Promise<void> {
    return this.#connections.close();
  }

  /** Returns the request's description for messages about the answer. */
  async #askManifest(
    method: 'GET' | 'HEAD',
    repository: Repository,
    reference: string,
    options: ManifestOptions,
    answer: BodyCollector,
  ): Promise<string> {
    const path = `manifests/${parseTagOrDigest(reference)}`;
    const accept = (options.accept ?? manifestTypes).join(', ');
    const { credentials, signal, trace } = options;
    const headers = { ...identity, accept };
    const immutable = isDigest(reference);
    await this.#askMetadata({ method, repository, path, headers, credentials, signal, immutable, trace }, answer);
    return describeContent(method, repository, path);
  }

  #askMetadata(question: Omit<Question, 'deadlineMs'>, answer: BodyCollector): Promise<void> {
    const attempt = () => this.#origin.ask({ ...question, deadlineMs: metadataDeadlineMs }, answer);
    return this.#retrying(attempt, new RetryBudget(this.#metadataLimits, this.#clock), question.signal);
  }

  #retrying<T>(attempt: () => Promise<T>, budget: RetryBudget, signal: AbortSignal | undefined): Promise<T> {
    return retrying(attempt, budget, this.#clock, signal, (error, waitMs) => {
      this.#log.debug({ cause: error.message, waitMs: Math.round(waitMs) }, 'registry request is repeated');
    });
  }
}

/** Sizes, ranges and digests are those of the content itself: no compression on the way. */
const identity = { 'accept-encoding': 'identity' };

function parseDigest(text: string): string {
  if (isDigest(text)) return text;
  throw new RegistryError('invalid', `${JSON.stringify(text.slice(0, 100))} is not a sha256 digest`);
}

function contentLength(answer: BodyCollector): number | undefined {
  const length = answer.header('content-length');
  return length !== undefined && /^\d{1,15}$/.test(length) ? Number(length) : undefined;
}

function describeContent(method: string, { registry, repository }: Repository, path: string): string {
  return `${method} ${registry}/${repository}/${path}`;
}

function invalid(description: string, answer: string): RegistryError {
  return new RegistryError('invalid', `${description}: the registry answered with ${answer}`);
}
