import { BodyCollector } from './answer.ts';
import { parseChallenges } from './challenge.ts';
import { Connections, type TunnelRule } from './dispatcher.ts';
import { type RegistryHosts, registryOrigin } from './endpoint.ts';
import { exchange } from './exchange.ts';
import { createProxyRule, type Environment, type ProxyRule } from './proxy.ts';

export interface PingerOptions {
  /** `registries.hosts` of the configuration. */
  readonly hosts: RegistryHosts;
  /** For HTTP_PROXY, HTTPS_PROXY and NO_PROXY. */
  readonly environment: Environment;
  readonly tunnelFor?: TunnelRule | undefined;
  readonly connectTimeoutMs: number;
  readonly transferTimeoutMs: number;
}

/** Any answer at all: what a registry says to a stranger. */
export interface Pong {
  readonly status: number;
  /** The header `Date`. */
  readonly date: string | undefined;
  /** The token server of a Bearer challenge. */
  readonly realm: string | undefined;
}

/** How a URL is reached: by none of the two, directly. Credentials in the proxy's URL are left out. */
export interface Route {
  readonly proxy?: string;
  readonly mirror?: string;
}

/** Asks registries for their API's root, once, without credentials, over the ways and with the trust of the registry client. */
export class Pinger {
  readonly #options: PingerOptions;
  readonly #proxyFor: ProxyRule;
  readonly #connections: Connections;

  /** Throws a `RegistryError` of kind `invalid` for an unusable CA file or proxy. */
  constructor(options: PingerOptions) {
    this.#options = options;
    this.#proxyFor = createProxyRule(options.environment);
    this.#connections = new Connections({ ...options, proxyFor: this.#proxyFor, connections: 1 });
  }

  /** The root of a registry's API. `registry` is canonical. */
  rootOf(registry: string): URL {
    return new URL(`${registryOrigin(registry, this.#options.hosts)}/v2/`);
  }

  routeOf(url: URL): Route {
    const proxy = this.#proxyFor(url);
    if (proxy !== undefined) return { proxy: new URL(proxy).origin };
    const tunnel = this.#options.tunnelFor?.(url);
    return tunnel === undefined ? {} : { mirror: new URL(tunnel.url).host };
  }

  /** GETs a URL on behalf of a registry; redirects are not followed. Rejects with a `RegistryError` when no answer came. */
  async ask(url: URL, registry: string, signal: AbortSignal): Promise<Pong> {
    const answer = new BodyCollector(0);
    const request = { method: 'GET', url, headers: {}, signal } as const;
    await exchange(this.#connections.dispatcherFor(url, registry), request, answer);
    const bearer = parseChallenges(answer.headers['www-authenticate']).find(({ scheme }) => scheme === 'bearer');
    return { status: answer.status, date: answer.header('date'), realm: bearer?.parameters.get('realm') };
  }

  close(): Promise<void> {
    return this.#connections.close();
  }
}
