import path from 'node:path';
import { z } from 'zod';
import { createKubernetesClient } from '../../kubernetes/client.ts';
import { kubeconfigAccess } from '../../kubernetes/kubeconfig.ts';
import { serviceAccountAccess } from '../../kubernetes/service-account.ts';
import type { Logger } from '../../telemetry/log.ts';
import { formatAddress, parseAddress } from './address.ts';
import { DnsSource } from './dns.ts';
import type { DnsName } from './dns-lookup.ts';
import { createNodeResolver } from './dns-resolver.ts';
import { KubernetesSource } from './kubernetes.ts';
import { startMembership } from './membership.ts';
import { mostMembers } from './roster.ts';
import { staticSource } from './static.ts';
import type { Member, MemberRole, MemberSource, Membership } from './types.ts';

/** `_service._proto.name` (RFC 2782). */
const servicePattern = /^_[a-z0-9-]+\._(tcp|udp)\.[a-z0-9_.-]+$/i;
/** RFC 1123, section 2.1: what a namespace is called. */
const labelPattern = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

const entries = z.array(z.string().max(300)).max(mostMembers).default([]);

/** The section `p2p.membership` of the configuration. */
export const membershipSchema = z
  .strictObject({
    source: z
      .enum(['none', 'static', 'dns', 'kubernetes'])
      .default('none')
      .describe('Where the members of the swarm come from. none: there is no swarm, every node is on its own.'),
    agents: entries.describe(
      'static: host:port of every agent, the same list on every node. dns: name:port (A, AAAA) or _service._tcp.name (SRV).',
    ),
    mirrors: entries.describe('The same for mirrors (shoal mirror).'),
    schedulers: entries.describe('The same for schedulers (shoal scheduler).'),
    kubernetes: z
      .strictObject({
        kubeconfig: z
          .string()
          .refine(path.isAbsolute, 'is not an absolute path')
          .optional()
          .describe("A kubeconfig file. The pod's own service account by default."),
        namespace: z.string().regex(labelPattern).default('shoal').describe('Where the Services of the swarm are.'),
        selector: z
          .string()
          .min(1)
          .max(1000)
          .default('app.kubernetes.io/name=shoal')
          .describe('Label selector of these Services; app.kubernetes.io/component says agent, mirror or scheduler.'),
        portName: z.string().regex(labelPattern).default('p2p').describe("The Services' name for the swarm's port."),
      })
      .prefault({}),
  })
  .superRefine((value, context) => {
    const lists = { agents: value.agents, mirrors: value.mirrors, schedulers: value.schedulers };
    const fromLists = value.source === 'static' || value.source === 'dns';
    if (fromLists && Object.values(lists).every((list) => list.length === 0)) {
      const message = `source: ${value.source} needs the members: agents, mirrors or schedulers`;
      context.addIssue({ code: 'custom', path: ['agents'], message });
    }
    for (const [key, list] of Object.entries(lists)) {
      if (!fromLists && list.length > 0) {
        const message = `counts only with source: static or dns. Set it, or leave ${key} out`;
        context.addIssue({ code: 'custom', path: [key], message });
      }
      for (const [at, entry] of list.entries()) {
        const message = entryProblem(value.source, entry);
        if (message !== undefined) context.addIssue({ code: 'custom', path: [key, at], message });
      }
    }
  });

export type MembershipConfig = z.output<typeof membershipSchema>;

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
      return staticSource(fromLists(config, staticMember));
    case 'dns': {
      const resolver = createNodeResolver({ timeoutMs: 2_000 });
      return new DnsSource({ names: fromLists(config, dnsName), resolver, logger });
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
  if (servicePattern.test(entry)) return { kind: 'service', name: entry, role };
  const parsed = parseAddress(entry);
  return parsed && { kind: 'addresses', ...parsed, role };
}

function entryProblem(source: MembershipConfig['source'], entry: string): string | undefined {
  if (source === 'static' && parseAddress(entry) === undefined) return 'is not host:port';
  if (source === 'dns' && dnsName(entry, 'agent') === undefined) return 'is neither name:port nor _service._tcp.name';
  return undefined;
}
