import { formatAddress, parseAddress } from '../../config/address.ts';
import { isServiceName, type MembershipConfig } from '../../config/membership.ts';
import { createKubernetesClient } from '../../kubernetes/client.ts';
import { kubeconfigAccess } from '../../kubernetes/kubeconfig.ts';
import { serviceAccountAccess } from '../../kubernetes/service-account.ts';
import type { Logger } from '../../telemetry/log.ts';
import { DnsSource } from './dns.ts';
import type { DnsName } from './dns-lookup.ts';
import { createNodeResolver } from './dns-resolver.ts';
import { KubernetesSource } from './kubernetes.ts';
import { startMembership } from './membership.ts';
import { staticSource } from './static.ts';
import type { Member, MemberRole, MemberSource, Membership } from './types.ts';

export interface MembershipDependencies {
  /** This node's id in the membership. */
  readonly self: string;
  /** Resolves when the member answers: a connection with its handshake. */
  readonly probe: (member: Member, signal: AbortSignal) => Promise<void>;
  /** Milliseconds for one probe. */
  readonly probeTimeoutMs: number;
  readonly logger: Logger;
  /** Environment variables by name, as in `process.env`. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Starts the membership that is configured; undefined for `source: none`. */
export function createMembership(
  config: MembershipConfig,
  dependencies: MembershipDependencies,
): Membership | undefined {
  const source = createSource(config, dependencies);
  return source && startMembership({ ...dependencies, source });
}

function createSource(
  config: MembershipConfig,
  { logger, environment }: MembershipDependencies,
): MemberSource | undefined {
  const { source, kubernetes } = config;
  switch (source) {
    case 'none':
      return undefined;
    case 'static':
      return staticSource(listedMembers(config));
    case 'dns': {
      const resolver = createNodeResolver({ timeoutMs: 2_000 });
      return new DnsSource({ names: listedNames(config), resolver, logger });
    }
    case 'kubernetes': {
      const { kubeconfig, namespace, selector: labelSelector, portName } = kubernetes;
      const access =
        kubeconfig === undefined ? serviceAccountAccess({ environment }) : kubeconfigAccess({ file: kubeconfig });
      const client = createKubernetesClient(access);
      return new KubernetesSource({ client, namespace, labelSelector, portName, logger });
    }
  }
}

/** The members of a static list. */
export function listedMembers(config: MembershipConfig): readonly Member[] {
  return fromLists(config, staticMember);
}

/** The names that DNS is asked for. */
export function listedNames(config: MembershipConfig): readonly DnsName[] {
  return fromLists(config, dnsName);
}

function fromLists<T>(config: MembershipConfig, read: (entry: string, role: MemberRole) => T | undefined): T[] {
  const { agents, mirrors, schedulers } = config;
  const lists: [MemberRole, readonly string[]][] = [
    ['agent', agents],
    ['mirror', mirrors],
    ['scheduler', schedulers],
  ];
  return lists.flatMap(([role, list]) => list.map((entry) => read(entry, role)).filter((each) => each !== undefined));
}

function staticMember(entry: string, role: MemberRole): Member | undefined {
  const parsed = parseAddress(entry);
  if (parsed === undefined) return undefined;
  const address = formatAddress(parsed.host, parsed.port);
  return { id: address, address, zone: '', role };
}

function dnsName(entry: string, role: MemberRole): DnsName | undefined {
  if (isServiceName(entry)) return { kind: 'service', name: entry, role };
  const parsed = parseAddress(entry);
  return parsed && { kind: 'addresses', ...parsed, role };
}
