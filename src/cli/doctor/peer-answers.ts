import { constants } from 'node:http2';
import { openSession } from '../../swarm/port/session.ts';
import { securityOf } from '../../swarm/security.ts';
import type { TransferSecurity } from '../../swarm/transfer/listen-address.ts';
import { createLogger } from '../../telemetry/log.ts';
import { untilAborted } from '../../until-aborted.ts';
import { aheadOf } from './date.ts';
import { dialFailure, dialMs } from './dials.ts';
import { isRefused, needsRoot, reasonOf, skipped, splitMend, warning } from './findings.ts';
import { type KnownMember, membersOf } from './members.ts';
import type { Dialled, KnownContext, PeerAnswers } from './types.ts';

const about = 'other nodes';
/** Dialled at once: enough to tell a closed port from a node that is down. */
const mostDialled = 32;

/** Suspects, mirrors and schedulers first: of a thousand nodes they are the ones worth a question. */
export function chooseMembers<M extends Pick<KnownMember, 'suspect' | 'role'>>(members: readonly M[]): readonly M[] {
  const rank = ({ suspect, role }: M) => (suspect ? 0 : role === 'agent' ? 2 : 1);
  return members.toSorted((one, other) => rank(one) - rank(other)).slice(0, mostDialled);
}

/** Dials the other nodes, as the agent does, and asks those that answer what time it is there. */
export async function askPeers(context: KnownContext): Promise<PeerAnswers> {
  const { config, agent, now } = context;
  const known = await membersOf(context);
  if ('instead' in known) return known;
  if (known.members.length === 0) {
    const failure = agent.engine?.swarm?.membershipFailure;
    const says = `no other node is known${failure === undefined ? '' : `: ${failure}`}`;
    const mend = 'shoal config print shows p2p.membership; docs/membership.md says what each source needs';
    return { instead: warning(about, says, mend) };
  }
  const opened = await openSecurity(config.p2p);
  if ('instead' in opened) return opened;
  const { security } = opened;
  try {
    const dials = await Promise.all(chooseMembers(known.members).map((member) => dialMember(member, security, now)));
    return { dials, members: known.members.length, tls: security.kind === 'tls', port: config.p2p.port };
  } finally {
    if (security.kind === 'tls') security.certificates.close();
  }
}

/** How this node shows itself to the others, and knows them; else why it can't. */
export async function openSecurity(
  p2p: KnownContext['config']['p2p'],
): Promise<{ readonly security: TransferSecurity } | Extract<PeerAnswers, { instead: unknown }>> {
  try {
    return { security: await securityOf(p2p, createLogger({ name: 'doctor', level: 'silent' })) };
  } catch (error) {
    if (isRefused(error)) {
      return {
        instead: needsRoot(about, "this node's key is not open to this user, and they want to see its certificate"),
      };
    }
    const says = `without a certificate that serves they answer nobody: ${splitMend(reasonOf(error), '').says}`;
    return { instead: skipped(about, says, 'see certificates above') };
  }
}

async function dialMember(
  { id, address }: KnownMember,
  security: TransferSecurity,
  now: () => number,
): Promise<Dialled> {
  const signal = AbortSignal.timeout(dialMs);
  try {
    const { session } = await openSession({ id, address }, security, signal);
    try {
      const aheadMs = await askTime(session, now, signal).catch(() => undefined);
      return { id, address, ...(aheadMs !== undefined && { aheadMs }) };
    } finally {
      session.destroy();
    }
  } catch (error) {
    const how = { timedOut: signal.aborted, tls: security.kind === 'tls' };
    return { id, address, failure: dialFailure(error, how) };
  }
}

/**
 * Milliseconds that this node's clock is ahead of the member's: every answer of a directory's port has a `Date`, that to a question
 * which is none of the directory's, too.
 */
async function askTime(
  session: Awaited<ReturnType<typeof openSession>>['session'],
  now: () => number,
  signal: AbortSignal,
): Promise<number | undefined> {
  const began = performance.now();
  const stream = session.request({ [constants.HTTP2_HEADER_PATH]: '/', [constants.HTTP2_HEADER_METHOD]: 'GET' });
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
  stream.once('response', ({ date }) => resolve(date));
  stream.once('error', reject);
  stream.once('close', () => resolve(undefined));
  stream.resume();
  const date = await untilAborted(promise, signal);
  return aheadOf(date, now(), Math.round(performance.now() - began));
}
