import { isIPv4 } from 'node:net';

/** What the configuration says of one registry, by its name in image references (`registries.hosts`). */
export interface RegistryHost {
  /** Speak http. Absent: only to a registry on loopback. */
  readonly plainHttp?: boolean | undefined;
  /** PEM bundle that is trusted beside the system's roots. */
  readonly caFile?: string | undefined;
}

/** By `host[:port]` as it stands in image references. */
export type RegistryHosts = Readonly<Record<string, RegistryHost>>;

/** Docker Hub's images are named after docker.io, but that host serves a website; this one serves the registry. */
const hubEndpoint = 'registry-1.docker.io';

/** Scheme, host and port of a registry's API, without a slash at the end. `registry` is canonical. */
export function registryOrigin(registry: string, hosts: RegistryHosts): string {
  const authority = registry === 'docker.io' ? hubEndpoint : registry;
  const plain = hosts[registry]?.plainHttp ?? isLoopback(new URL(`http://${authority}`).hostname);
  return `${plain ? 'http' : 'https'}://${authority}`;
}

/** Whether a URL's host name stays on this machine: localhost, 127.0.0.0/8 or ::1. */
export function isLoopback(hostname: string): boolean {
  const host = hostname.toLowerCase();
  return host === 'localhost' || host === '[::1]' || (isIPv4(host) && host.startsWith('127.'));
}
