import ipaddr from 'ipaddr.js';
import { isLoopback } from './endpoint.ts';
import { RegistryError } from './types.ts';

/** The URL of the proxy for a request, or undefined for a direct connection. */
export type ProxyRule = (url: URL) => string | undefined;

/** Environment variables by name, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads HTTP_PROXY, HTTPS_PROXY and NO_PROXY, upper case first, then lower case: as the runtime (Go's
 * golang.org/x/net/http/httpproxy) does, so that Shoal and the runtime take the same way out. Loopback is never proxied.
 * Throws a `RegistryError` of kind `invalid` that names the variable, never its value: it may hold a password.
 */
export function createProxyRule(environment: Environment): ProxyRule {
  const proxies = { 'http:': proxyUrl(environment, 'HTTP_PROXY'), 'https:': proxyUrl(environment, 'HTTPS_PROXY') };
  const exceptions = (read(environment, 'NO_PROXY') ?? '')
    .split(',')
    .map((entry) => entry.trim().toLowerCase())
    .filter((entry) => entry !== '')
    .map(parseException);
  return (url) => {
    const proxy = url.protocol === 'http:' ? proxies['http:'] : proxies['https:'];
    if (proxy === undefined || isLoopback(url.hostname)) return undefined;
    const target: Target = {
      host: url.hostname.replace(/\.$/, ''),
      port: url.port || (url.protocol === 'http:' ? '80' : '443'),
      address: parseAddress(url.hostname),
    };
    return exceptions.some((matches) => matches(target)) ? undefined : proxy;
  };
}

interface Target {
  readonly host: string;
  readonly port: string;
  /** The host, when it is an address rather than a name. Names are not resolved: the proxy may see other DNS. */
  readonly address: ipaddr.IPv4 | ipaddr.IPv6 | undefined;
}

/** One entry of NO_PROXY: `*`, a CIDR, `address[:port]`, `name[:port]` (with its subdomains), `.name` (those alone). */
function parseException(entry: string): (target: Target) => boolean {
  if (entry === '*') return () => true;
  if (ipaddr.isValidCIDR(entry)) {
    const [network, bits] = ipaddr.parseCIDR(entry);
    return ({ address }) => address?.kind() === network.kind() && address.match(network, bits);
  }
  const [, name = '', port] = /^(\[.*\]|[^:]*|[0-9a-f:.]*:[0-9a-f:.]*:[0-9a-f:.]*)(?::(\d+))?$/.exec(entry) ?? [];
  const portMatches = (target: Target) => port === undefined || port === target.port;
  const address = parseAddress(name);
  if (address !== undefined) {
    const text = address.toNormalizedString();
    return (target) => target.address?.toNormalizedString() === text && portMatches(target);
  }
  const suffix = name.startsWith('*.') ? name.slice(1) : name;
  if (suffix === '' || suffix === '.') return () => false;
  if (suffix.startsWith('.')) return (target) => target.host.endsWith(suffix) && portMatches(target);
  return (target) => (target.host === suffix || target.host.endsWith(`.${suffix}`)) && portMatches(target);
}

function parseAddress(host: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
  // `process` turns ::ffff:10.0.0.1 into 10.0.0.1: the same machine, whichever way it is written.
  return ipaddr.IPv4.isValidFourPartDecimal(bare) || ipaddr.IPv6.isValid(bare) ? ipaddr.process(bare) : undefined;
}

function proxyUrl(environment: Environment, name: string): string | undefined {
  const value = read(environment, name);
  if (value === undefined) return undefined;
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new RegistryError('invalid', `environment variable ${name}: not a proxy's http or https URL`);
  }
  return url.href;
}

function read(environment: Environment, name: string): string | undefined {
  return environment[name] || environment[name.toLowerCase()] || undefined;
}
