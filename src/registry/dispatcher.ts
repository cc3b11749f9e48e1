import { readFileSync } from 'node:fs';
import tls, { type SecureContext } from 'node:tls';
import { Agent, Pool, ProxyAgent } from 'undici';
import { DirectDispatcher, type Dispatch } from './direct-dispatcher.ts';
import type { RegistryHosts } from './endpoint.ts';
import type { ProxyRule } from './proxy.ts';
import { RegistryError } from './types.ts';

export interface ConnectionOptions {
  readonly hosts: RegistryHosts;
  readonly proxyFor: ProxyRule;
  /** Milliseconds for TCP and TLS. */
  readonly connectTimeoutMs: number;
  /** Milliseconds without a byte, before and within an answer. */
  readonly transferTimeoutMs: number;
  /** Connections to one origin (scheme, host and port) at most; further requests wait for one. */
  readonly connections: number;
}

interface ClosableDispatch extends Dispatch {
  destroy(): Promise<void>;
}

/** Chooses the connections that a request goes through: by what its host is trusted for, and by its proxy. */
export class Connections {
  readonly #options: ConnectionOptions;
  /** One per CA bundle and proxy; each keeps a pool per origin and forgets the unused. */
  readonly #dispatchers = new Map<string, ClosableDispatch>();
  readonly #bundles: ReadonlyMap<string, string>;
  readonly #roots: readonly string[];

  /** By CA bundle; shared by all connections, since parsing some hundred roots for each of them would cost milliseconds. */
  readonly #contexts = new Map<string | undefined, SecureContext>();

  /**
   * Reads the CA bundles, and the system's roots: that takes a tenth of a second, better now than in the first pull. Throws a
   * `RegistryError` of kind `invalid` when a bundle is missing or none.
   */
  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#bundles = readBundles(options.hosts);
    this.#roots = systemRoots();
    this.#contextFor(undefined);
  }

  /**
   * For a request on behalf of `registry`. Its token server and its object store are trusted as the registry itself is
   * (private CAs sign them all), unless the configuration has an entry of their own.
   */
  dispatcherFor(url: URL, registry: string): Dispatch {
    const { hosts, proxyFor } = this.#options;
    const caFile = (hosts[url.host] ?? hosts[registry])?.caFile;
    const proxy = proxyFor(url);
    const key = JSON.stringify([caFile, proxy]);
    let dispatcher = this.#dispatchers.get(key);
    if (dispatcher === undefined) {
      dispatcher = this.#create(caFile, proxy);
      this.#dispatchers.set(key, dispatcher);
    }
    return dispatcher;
  }

  /** Ends every connection; requests in flight fail. */
  async close(): Promise<void> {
    await Promise.all([...this.#dispatchers.values()].map((dispatcher) => dispatcher.destroy()));
  }

  #contextFor(caFile: string | undefined): SecureContext {
    let context = this.#contexts.get(caFile);
    if (context === undefined) {
      const bundle = caFile === undefined ? undefined : this.#bundles.get(caFile);
      context = tls.createSecureContext({ ca: bundle === undefined ? [...this.#roots] : [...this.#roots, bundle] });
      this.#contexts.set(caFile, context);
    }
    return context;
  }

  #create(caFile: string | undefined, proxy: string | undefined): ClosableDispatch {
    const { connectTimeoutMs, transferTimeoutMs, connections } = this.#options;
    const secureContext = this.#contextFor(caFile);
    const common = {
      connections,
      headersTimeout: transferTimeoutMs,
      bodyTimeout: transferTimeoutMs,
      // HTTP/2 costs a blob's bytes a third more CPU, and one connection for all would lose on a lossy path.
      allowH2: false,
    };
    if (proxy === undefined) {
      const agent = new Agent({ ...common, connect: { timeout: connectTimeoutMs, secureContext, allowH2: false } });
      const direct = new DirectDispatcher({
        secureContext,
        connectTimeoutMs,
        transferTimeoutMs,
        connections,
        fallback: agent,
      });
      return {
        dispatch: (options, handler) => direct.dispatch(options, handler),
        destroy: () => {
          direct.destroy();
          return agent.destroy();
        },
      };
    }
    return new ProxyAgent({
      ...common,
      uri: proxy,
      connectTimeout: connectTimeoutMs,
      requestTls: { secureContext },
      proxyTls: { secureContext },
      // A proxy that never answers CONNECT must not hold a pull for undici's 300 s.
      clientFactory: (origin, options) => new Pool(origin, { ...options, headersTimeout: connectTimeoutMs }),
    });
  }
}

/** Node's own roots, and the system's (where administrators put a company's CA; the runtime trusts them too). */
function systemRoots(): string[] {
  return [...new Set([...tls.getCACertificates('default'), ...tls.getCACertificates('system')])];
}

function readBundles(hosts: RegistryHosts): Map<string, string> {
  const bundles = new Map<string, string>();
  for (const [host, { caFile }] of Object.entries(hosts)) {
    if (caFile === undefined || bundles.has(caFile)) continue;
    try {
      const bundle = readFileSync(caFile, 'utf8');
      tls.createSecureContext({ ca: bundle });
      if (!bundle.includes('-----BEGIN CERTIFICATE-----')) throw new Error('it holds no PEM certificate');
      bundles.set(caFile, bundle);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new RegistryError('invalid', `registries.hosts."${host}".caFile: ${caFile} can't be used: ${reason}`, {
        cause,
      });
    }
  }
  return bundles;
}
