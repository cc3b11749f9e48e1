import { formatAddress, parseAddress } from '../config/address.ts';
import type { MembershipConfig } from '../config/membership.ts';
import type { MemberRole } from './membership/types.ts';

export interface NodeFacts {
  readonly hostName: string;
  /** Addresses of this machine's interfaces, loopback last. */
  readonly addresses: readonly string[];
  /** `NODE_NAME`: what a pod is told of its node (the downward API). */
  readonly nodeName?: string;
  /** `POD_NAME`. */
  readonly podName?: string;
}

export interface Identity {
  /** This node's id in the membership. */
  readonly id: string;
  /** `host:port` where it answers, as far as this node knows; the membership's word counts for more. */
  readonly address: string;
}

/**
 * Who this node is among the members. `configured`: `p2p.id`. Throws where it can't be found out: a node that takes itself for
 * another would ask itself for pieces.
 */
export function identityOf(
  { source, agents, mirrors, schedulers }: MembershipConfig,
  {
    port,
    role,
    configured,
    facts,
  }: {
    readonly port: number;
    readonly role: MemberRole;
    readonly configured: string | undefined;
    readonly facts: NodeFacts;
  },
): Identity {
  const own = formatAddress(facts.addresses[0] ?? '127.0.0.1', port);
  switch (source) {
    case 'none':
      return { id: configured ?? own, address: own };
    case 'kubernetes': {
      const name = role === 'agent' ? (facts.nodeName ?? facts.hostName) : (facts.podName ?? facts.hostName);
      return { id: configured ?? name.toLowerCase(), address: own };
    }
    case 'dns':
      return { id: configured ?? own, address: configured ?? own };
    case 'static': {
      const entries = { agent: agents, mirror: mirrors, scheduler: schedulers }[role];
      const id = configured ?? entries.find((entry) => isOwn(entry, port, facts));
      if (id === undefined) {
        throw new Error(
          `no entry of p2p.membership.${role}s is an address of this machine (${facts.addresses.join(', ')}) with port ${port}. Add this node to the list, or say with p2p.id which entry it is`,
        );
      }
      return { id, address: id };
    }
  }
}

function isOwn(entry: string, port: number, { addresses, hostName }: NodeFacts): boolean {
  const parsed = parseAddress(entry);
  if (parsed === undefined || parsed.port !== port) return false;
  return addresses.includes(parsed.host) || parsed.host.toLowerCase() === hostName.toLowerCase();
}
