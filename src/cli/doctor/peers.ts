import { identityOf } from '../../swarm/identity.ts';
import { listedMembers, listedNames } from '../../swarm/membership/config.ts';
import { lookUp } from '../../swarm/membership/dns-lookup.ts';
import { createNodeResolver } from '../../swarm/membership/dns-resolver.ts';
import { nodeFacts } from '../../swarm/node-facts.ts';
import { createProbe } from '../../swarm/port/probe.ts';
import { securityOf } from '../../swarm/security.ts';
import { createLogger } from '../../telemetry/log.ts';
import { type Dialled, dialFailure, judgeDials } from './dials.ts';
import { isRefused, needsRoot, problem, reasonOf, skipped, splitMend, warning } from './findings.ts';
import type { Check, DialledMember, DoctorContext, Finding } from './types.ts';

const about = 'other nodes';
/** Dialled at once: enough to tell a closed port from a node that is down. */
const mostDialled = 32;
const dialMs = 5_000;

/** Whether the other nodes can be reached on their port. */
export const peersCheck: Check = {
  group: 'peers',
  about,
  boundMs: 20_000,
  remote: true,
  run: async (context) => {
    if (context.config.p2p.membership.source === 'none')
      return [skipped(about, 'no swarm: p2p.membership.source is none')];
    const known = await membersOf(context);
    return 'members' in known ? dialAll(context, known.members) : [known.instead];
  },
};

/** Suspects, mirrors and schedulers first: of a thousand nodes they are the ones worth a question. */
export function chooseMembers<M extends { readonly state?: string; readonly role?: string }>(
  members: readonly M[],
): readonly M[] {
  const rank = ({ state, role }: M) => (state === 'suspect' ? 0 : role === 'agent' ? 2 : 1);
  return members.toSorted((one, other) => rank(one) - rank(other)).slice(0, mostDialled);
}

type Known =
  | { readonly members: readonly (DialledMember & { readonly state?: string; readonly role?: string })[] }
  | { readonly instead: Finding };

async function membersOf({ agent, config, environment }: DoctorContext): Promise<Known> {
  const { membership } = config.p2p;
  const { swarm } = agent.engine ?? {};
  if (swarm !== undefined) {
    const others = agent.peers.flatMap(({ self, state, address, ...peer }) =>
      self || state === 'gone' || address === undefined ? [] : [{ ...peer, state, address }],
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
  return { members: listed.filter(({ id, address }) => id !== self.id && address !== self.address) };
}

async function askDns(membership: DoctorContext['config']['p2p']['membership']) {
  const resolver = createNodeResolver({ timeoutMs: 2_000 });
  try {
    const answers = await Promise.all(listedNames(membership).map((name) => lookUp(name, resolver, [])));
    return answers.flatMap(({ members }) => members);
  } finally {
    resolver.cancel();
  }
}

async function dialAll(
  { config, agent }: DoctorContext,
  members: Extract<Known, { members: unknown }>['members'],
): Promise<Finding[]> {
  if (members.length === 0) {
    const failure = agent.engine?.swarm?.membershipFailure;
    const says = `no other node is known${failure === undefined ? '' : `: ${failure}`}`;
    return [
      warning(about, says, 'shoal config print shows p2p.membership; docs/membership.md says what each source needs'),
    ];
  }
  let security: Awaited<ReturnType<typeof securityOf>>;
  try {
    security = await securityOf(config.p2p, createLogger({ name: 'doctor', level: 'silent' }));
  } catch (error) {
    if (isRefused(error))
      return [needsRoot(about, "this node's key is not open to this user, and they want to see its certificate")];
    return [
      skipped(
        about,
        `without a certificate that serves they answer nobody: ${splitMend(reasonOf(error), '').says}`,
        'see certificates above',
      ),
    ];
  }
  try {
    const probe = createProbe(security);
    const dialled = chooseMembers(members);
    const dials = await Promise.all(
      dialled.map(async ({ id, address }): Promise<Dialled> => {
        const signal = AbortSignal.timeout(dialMs);
        try {
          await probe({ id, address, zone: '', role: 'agent' }, signal);
          return { id, address };
        } catch (error) {
          return {
            id,
            address,
            failure: dialFailure(error, { timedOut: signal.aborted, tls: security.kind === 'tls' }),
          };
        }
      }),
    );
    return judgeDials(dials, { members: members.length, tls: security.kind === 'tls' });
  } finally {
    if (security.kind === 'tls') security.certificates.close();
  }
}
