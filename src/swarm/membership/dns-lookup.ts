import { formatAddress } from '../../config/address.ts';
import type { Member, MemberRole } from './types.ts';

/** A DNS name that stands for members. */
export type DnsName = {
  readonly role: MemberRole;
} & (
  | /** A and AAAA records: a headless Service, a name with an address per node. */
  { readonly kind: 'addresses'; readonly host: string; readonly port: number }
  /** SRV records: they have the ports, and a name for each member. */
  | { readonly kind: 'service'; readonly name: string }
);

export interface AddressRecord {
  readonly address: string;
  /** Seconds. */
  readonly ttl: number;
}

export interface ServiceRecord {
  readonly target: string;
  readonly port: number;
}

/**
 * A DNS server's answers. Empty when it says that there are no such records; rejects when it says nothing: no answer in
 * time, SERVFAIL, REFUSED.
 */
export interface DnsResolver {
  addresses(host: string, family: 4 | 6): Promise<readonly AddressRecord[]>;
  services(name: string): Promise<readonly ServiceRecord[]>;
  /** Ends the queries under way. */
  cancel(): void;
}

export interface DnsAnswer {
  readonly members: readonly Member[];
  /** Seconds: the least of all records that have one. Node tells it for addresses alone. */
  readonly ttl: number;
}

/** Targets asked for at once. A DNS message has at most 64 KiB, so a name has at most some thousands. */
const parallelTargets = 16;

/**
 * Asks for one name's members. Rejects when there is no answer, and also when the answer is that there is nobody: a DNS
 * server that has just started or lost its zone says so too, and the members known so far, if they are gone, are found out
 * by suspicion. `before` is the last answer: its addresses stand in for SRV targets that don't resolve this time.
 */
export async function lookUp(name: DnsName, resolver: DnsResolver, before: readonly Member[]): Promise<DnsAnswer> {
  const answer =
    name.kind === 'addresses' ? await lookUpAddresses(name, resolver) : await lookUpService(name, resolver, before);
  if (answer.members.length === 0) throw new Error(`${describeName(name)} has no records`);
  return answer;
}

/** For messages. */
export function describeName(name: DnsName): string {
  return name.kind === 'addresses' ? `DNS name ${name.host}` : `DNS service ${name.name}`;
}

async function lookUpAddresses(
  { host, port, role }: DnsName & { kind: 'addresses' },
  resolver: DnsResolver,
): Promise<DnsAnswer> {
  const records = await oneFamily(host, resolver);
  const members = records.map((record) => {
    const address = formatAddress(record.address, port);
    return { id: address, address, zone: '', role };
  });
  return { members, ttl: leastTtl(records) };
}

async function lookUpService(
  { name, role }: DnsName & { kind: 'service' },
  resolver: DnsResolver,
  before: readonly Member[],
): Promise<DnsAnswer> {
  // "." with port 0 says that there is no such service (RFC 2782). All targets are members: priority and weight are for clients that want one.
  const services = (await resolver.services(name)).filter(({ target, port }) => canonical(target) !== '' && port > 0);
  const known = new Map(before.map((member) => [member.id, member]));
  const members: Member[] = [];
  let ttl = Number.POSITIVE_INFINITY;
  for (let at = 0; at < services.length; at += parallelTargets) {
    const batch = services.slice(at, at + parallelTargets);
    const answers = await Promise.all(
      batch.map(async ({ target, port }) => {
        const id = formatAddress(canonical(target), port);
        try {
          const records = await oneFamily(target, resolver);
          ttl = Math.min(ttl, leastTtl(records));
          // One member, whichever of its addresses comes first this time.
          const [lowest] = records.map(({ address }) => address).sort();
          return lowest === undefined ? undefined : { id, address: formatAddress(lowest, port), zone: '', role };
        } catch {
          ttl = 0;
          return known.get(id);
        }
      }),
    );
    members.push(...answers.filter((member) => member !== undefined));
  }
  return { members, ttl };
}

/**
 * The IPv4 addresses; without any, the IPv6 ones. Of a dual-stack name nothing says which two addresses are one member, so
 * one family must do; and a failed question for the first must not turn the whole swarm to the other.
 */
async function oneFamily(host: string, resolver: DnsResolver): Promise<readonly AddressRecord[]> {
  const records = await resolver.addresses(host, 4);
  return records.length > 0 ? records : resolver.addresses(host, 6);
}

function leastTtl(records: readonly AddressRecord[]): number {
  return records.reduce((least, { ttl }) => Math.min(least, ttl), Number.POSITIVE_INFINITY);
}

/** Names are the same in any case, with or without the root's dot (RFC 4343, RFC 1034). */
function canonical(host: string): string {
  return host.toLowerCase().replace(/\.$/, '');
}
