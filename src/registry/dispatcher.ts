import { readFileSync } from 'node:fs';
import tls, { type SecureContext } from 'node:tls';
import { Agent, Pool, ProxyAgent } from 'undici';
import { DirectDispatcher, type Dispatch } from './direct-dispatcher.ts';
import type { RegistryHosts } from './endpoint.ts';
import type { ProxyRule } from './proxy.ts';
import { TunnelPool } from './tunnel-pool.ts';
import { RegistryError } from './types.ts';

export interface ConnectionOptions {
  readonly hosts: RegistryHosts;
  readonly proxyFor: ProxyRule;
  /** A tunnel to the URL's host, looked up for every request; undefined: the host is reached directly, or by a proxy. */
  readonly tunnelFor?: TunnelRule | undefined;
  /** Milliseconds for TCP and TLS. */
  readonly connectTimeoutMs: number;
  /** Milliseconds without a byte, before and within an answer. */
  readonly transferTimeoutMs: number;
  /** Connections to one origin (scheme, host and port) at most; further requests wait for one. */
  readonly connections: number;
}

/** A proxy that is asked with CONNECT, whatever the URL's scheme. */
export interface Tunnel {
  readonly url: string;
  readonly tls?: Pick<tls.ConnectionOptions, 'secureContext' | 'checkServerIdentity'>;
}

export type TunnelRule = (url: URL) => Tunnel | undefined;

/** Tunnels that are kept: one for each CA bundle and mirror. */
const mostTunnels = 64;

interface KeptTunnel {
  readonly agent: ProxyAgent;
  /** That it was made with: another one when certificates were renewed. */
  readonly context: SecureContext | undefined;
}

interface ClosableDispatch extends Dispatch {
  destroy(): Promise<void>;
}

/** Chooses the connections that a request goes through: by what its host is trusted for, and by its proxy. */
export class Connections {
  readonly #options: ConnectionOptions;
  /** One per CA bundle and proxy; each keeps a pool per origin and forgets the unused. */
  readonly #dispatchers = new Map<string, ClosableDispatch>();
  /** The oldest first. */
  readonly #tunnels = new Map<string, KeptTunnel>();
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
    const { hosts, proxyFor, tunnelFor } = this.#options;
    const caFile = (hosts[url.host] ?? hosts[registry])?.caFile;
    const proxy = proxyFor(url);
    const tunnel = proxy === undefined ? tunnelFor?.(url) : undefined;
    if (tunnel !== undefined) return this.#through(tunnel, caFile);
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
    const tunnels = [...this.#tunnels.values()].map(({ agent }) => agent);
    await Promise.all([...this.#dispatchers.values(), ...tunnels].map((dispatcher) => dispatcher.destroy()));
  }

  #through(tunnel: Tunnel, caFile: string | undefined): Dispatch {
    const name = JSON.stringify([caFile, tunnel.url]);
    const context = tunnel.tls?.secureContext;
    const known = this.#tunnels.get(name);
    if (known !== undefined && known.context === context) return known.agent;
    const agent = this.#proxyAgent(this.#contextFor(caFile), tunnel, true);
    this.#keepTunnel(name, { agent, context });
    return agent;
  }

  /** What is under way over one that goes may end. */
  #keepTunnel(name: string, tunnel: KeptTunnel): void {
    void this.#tunnels.get(name)?.agent.close();
    this.#tunnels.delete(name);
    for (const [oldest, { agent }] of this.#tunnels) {
      if (this.#tunnels.size < mostTunnels) break;
      this.#tunnels.delete(oldest);
      void agent.close();
    }
    this.#tunnels.set(name, tunnel);
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

  get #bounds() {
    const { transferTimeoutMs, connections } = this.#options;
    return {
      connections,
      headersTimeout: transferTimeoutMs,
      bodyTimeout: transferTimeoutMs,
      // HTTP/2 costs a blob's bytes a third more CPU, and one connection for all would lose on a lossy path.
      allowH2: false,
    };
  }

  #create(caFile: string | undefined, proxy: string | undefined): ClosableDispatch {
    const { connectTimeoutMs, transferTimeoutMs, connections } = this.#options;
    const secureContext = this.#contextFor(caFile);
    if (proxy === undefined) {
      const agent = new Agent({
        ...this.#bounds,
        connect: { timeout: connectTimeoutMs, secureContext, allowH2: false },
      });
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
    return this.#proxyAgent(secureContext, { url: proxy });
  }

  /** `always`: CONNECT for plain http, too. */
  #proxyAgent(secureContext: SecureContext, { url, tls: proxyTls }: Tunnel, always = false): ProxyAgent {
    const { connectTimeoutMs } = this.#options;
    return new ProxyAgent({
      ...this.#bounds,
      uri: url,
      connectTimeout: connectTimeoutMs,
      requestTls: { secureContext },
      proxyTls: proxyTls ?? { secureContext },
      ...(always && { proxyTunnel: true }),
      // A proxy that never answers CONNECT must not hold a pull for undici's 300 s.
      clientFactory: (origin, options) => {
        const bounded = { ...options, headersTimeout: connectTimeoutMs };
        return always ? new TunnelPool(origin, bounded) : new Pool(origin, bounded);
      },
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
