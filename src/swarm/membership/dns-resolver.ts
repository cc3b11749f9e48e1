import { Resolver } from 'node:dns/promises';
import type { DnsResolver } from './dns-lookup.ts';

export interface NodeResolverOptions {
  /** `address[:port]`; those of resolv.conf by default. */
  readonly servers?: readonly string[] | undefined;
  /** Milliseconds for the first try of one server; c-ares doubles it. */
  readonly timeoutMs: number;
}

/** c-ares' words for "the server says that there are none": NODATA, NXDOMAIN. */
const none: ReadonlySet<string> = new Set(['ENODATA', 'ENOTFOUND']);

/** Queries over UDP, over TCP when the answer is too large for it. Neither /etc/hosts nor search domains count. */
export function createNodeResolver(options: NodeResolverOptions): DnsResolver {
  const resolver = new Resolver({ timeout: options.timeoutMs, tries: 2 });
  if (options.servers !== undefined) resolver.setServers(options.servers);
  return {
    addresses: (host, family) =>
      orNone(family === 4 ? resolver.resolve4(host, { ttl: true }) : resolver.resolve6(host, { ttl: true })),
    services: async (name) =>
      (await orNone(resolver.resolveSrv(name))).map(({ name: target, port }) => ({ target, port })),
    cancel: () => resolver.cancel(),
  };
}

async function orNone<T>(records: Promise<T[]>): Promise<T[]> {
  try {
    return await records;
  } catch (error) {
    if (error instanceof Error && 'code' in error && none.has(String(error.code))) return [];
    throw error;
  }
}
