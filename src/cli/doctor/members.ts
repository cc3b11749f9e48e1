import { identityOf } from '../../swarm/identity.ts';
import { listedMembers, listedNames } from '../../swarm/membership/config.ts';
import { lookUp } from '../../swarm/membership/dns-lookup.ts';
import { createNodeResolver } from '../../swarm/membership/dns-resolver.ts';
import type { Member } from '../../swarm/membership/types.ts';
import { nodeFacts } from '../../swarm/node-facts.ts';
import { problem, skipped } from './findings.ts';
import type { Finding, KnownContext } from './types.ts';

const about = 'other nodes';

/** Another node, and what the agent that runs thinks of it. */
export interface KnownMember extends Member {
  readonly suspect: boolean;
}

/** The other nodes, as the running agent knows them; without one, as the configuration lists them. Else why nobody is known. */
export async function membersOf(
  context: KnownContext,
): Promise<{ readonly members: readonly KnownMember[] } | { readonly instead: Finding }> {
  const { agent, config, environment } = context;
  const { membership } = config.p2p;
  if (membership.source === 'none') return { instead: skipped(about, 'no swarm: p2p.membership.source is none') };
  if (agent.engine?.swarm !== undefined) {
    const others = agent.peers.flatMap(({ self, state, id, address, zone, role }): KnownMember[] =>
      self || state === 'gone' || address === undefined
        ? []
        : [{ id, address, zone, role: role as Member['role'], suspect: state === 'suspect' }],
    );
    return { members: others };
  }
  if (agent.engine !== undefined) {
    const says = 'the agent runs, but takes no part in the swarm: every pull comes from its registry';
    return {
      instead: problem(
        about,
        says,
        'journalctl --unit shoal | grep "takes no part" says why; see certificates and ports above',
      ),
    };
  }
  if (membership.source === 'kubernetes') {
    return { instead: skipped(about, 'the API of Kubernetes names them, which the agent that runs asks: none does') };
  }
  const self = identityOf(membership, {
    port: config.p2p.port,
    role: 'agent',
    configured: config.p2p.id,
    facts: nodeFacts(environment),
  });
  const listed = membership.source === 'static' ? listedMembers(membership) : await askDns(membership);
  const others = listed.filter(({ id, address }) => id !== self.id && address !== self.address);
  return { members: others.map((member) => ({ ...member, suspect: false })) };
}

async function askDns(membership: KnownContext['config']['p2p']['membership']): Promise<readonly Member[]> {
  const resolver = createNodeResolver({ timeoutMs: 2_000 });
  try {
    const answers = await Promise.all(listedNames(membership).map((name) => lookUp(name, resolver, [])));
    return answers.flatMap(({ members }) => members);
  } finally {
    resolver.cancel();
  }
}
