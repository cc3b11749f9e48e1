import os from 'node:os';
import type { NodeFacts } from './identity.ts';

/** What this machine is called and where it answers. `environment`: for the names that a pod is told (the downward API). */
export function nodeFacts(environment: Readonly<Record<string, string | undefined>>): NodeFacts {
  const interfaces = Object.values(os.networkInterfaces()).flatMap((addresses) => addresses ?? []);
  // Link-local addresses (fe80::) mean nothing without an interface.
  const usable = interfaces.filter(({ address }) => !address.startsWith('fe80:'));
  const sorted = usable.toSorted((one, other) => rank(one) - rank(other));
  return {
    hostName: os.hostname(),
    addresses: sorted.map(({ address }) => address),
    ...(environment.NODE_NAME !== undefined && { nodeName: environment.NODE_NAME }),
    ...(environment.POD_NAME !== undefined && { podName: environment.POD_NAME }),
  };
}

/** IPv4 of a network first, loopback last. */
function rank({ internal, family }: Pick<os.NetworkInterfaceInfo, 'internal' | 'family'>): number {
  return (internal ? 2 : 0) + (family === 'IPv4' ? 0 : 1);
}
