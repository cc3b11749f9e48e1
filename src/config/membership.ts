import path from 'node:path';
import { z } from 'zod';
import { parseAddress } from './address.ts';

/** `_service._proto.name` (RFC 2782). */
const servicePattern = /^_[a-z0-9-]+\._(tcp|udp)\.[a-z0-9_.-]+$/i;
/** RFC 1123, section 2.1: what a namespace is called. */
const labelPattern = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** Members at most: what a directory shard has room for (src/swarm/limits.ts). */
export const mostMembers = 16_384;

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

/** Whether the entry names a service by its SRV record, `_service._proto.name`. */
export function isServiceName(entry: string): boolean {
  return servicePattern.test(entry);
}

function entryProblem(source: string, entry: string): string | undefined {
  const isAddress = parseAddress(entry) !== undefined;
  if (source === 'static' && !isAddress) return 'is not host:port';
  if (source === 'dns' && !isAddress && !isServiceName(entry)) return 'is neither name:port nor _service._tcp.name';
  return undefined;
}
