import { codeOf, ok, reasonOf } from './findings.ts';
import type { DialFailure, DialFailureKind, Dialled, Finding } from './types.ts';

/** Milliseconds that a node has for connection and handshake. */
export const dialMs = 5_000;

/** `timedOut`: the time for the dial was over. `tls`: it was dialled with TLS. */
export function dialFailure(
  error: unknown,
  { timedOut, tls }: { readonly timedOut: boolean; readonly tls: boolean },
): DialFailure {
  const reason = reasonOf(error) || (codeOf(error) ?? '');
  return { kind: kindOf(codeOf(error) ?? '', reason, timedOut, tls), reason: reason.split('\n')[0] ?? '' };
}

function kindOf(code: string, reason: string, timedOut: boolean, tls: boolean): DialFailureKind {
  if (timedOut || code === 'ETIMEDOUT') return 'silent';
  if (code === 'ENOTFOUND' || code.startsWith('EAI_')) return 'name';
  if (code === 'ECONNREFUSED') return 'refused';
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH') return 'unreachable';
  if (reason.startsWith('its certificate names')) return 'wrong-name';
  // Alerts are the other side's word on our certificate.
  if (/ALERT/.test(code) || /alert (number|unknown|bad|certificate)/.test(reason)) return 'rejected';
  if (/WRONG_VERSION|PACKET_LENGTH|WRONG_SSL_VERSION/.test(code)) return 'not-tls';
  if (/CERT|SIGNATURE/.test(code)) return 'distrust';
  // Before the handshake was through: a word on our certificate comes after that (TLS 1.3).
  if (/before secure TLS connection/.test(reason)) return 'not-tls';
  if (code === 'ECONNRESET' || code === 'EPIPE' || /closed the connection/.test(reason))
    return tls ? 'rejected' : 'closed';
  return 'other';
}

interface Words {
  readonly says: string;
  readonly mend: string;
}

/** `port`: this node's `p2p.port`, which the others have, too. */
const words = (port: number): Readonly<Record<DialFailureKind, Words>> => ({
  name: {
    says: "have names that can't be resolved",
    mend: 'getent ahosts <name>; write addresses into p2p.membership.agents',
  },
  refused: {
    says: 'refuse the connection: no agent listens there',
    mend: 'on that node: shoal doctor; its p2p.port and p2p.host have to be those that others dial',
  },
  silent: {
    says: `do not answer within ${dialMs / 1000} s`,
    mend: `open tcp port ${port} (p2p.port) between the nodes: security groups, firewalls, network policies; or the node is down`,
  },
  unreachable: { says: 'have no route', mend: 'ip route get <address>; or the node is down' },
  'wrong-name': {
    says: 'have a certificate with another name',
    mend: 'on that node: shoal certs issue --name <its name in the swarm> --address <its address>',
  },
  distrust: {
    says: 'have a certificate that this node does not trust',
    mend: 'give both nodes the same authority: compare sha256sum of their p2p.certificates.caFile; is either clock wrong?',
  },
  rejected: {
    says: "refuse this node's certificate, or its TLS",
    mend: "compare sha256sum of both nodes' p2p.certificates.caFile; see certificates and clock above",
  },
  'not-tls': {
    says: 'speak no TLS there, or close the connection at once',
    mend: 'set p2p.tls and p2p.certificates alike on all nodes',
  },
  closed: {
    says: 'close the connection at once: perhaps they want TLS',
    mend: 'set p2p.tls and p2p.certificates alike on all nodes',
  },
  other: { says: 'fail', mend: 'on that node: shoal doctor' },
});
/** Nodes that are named for each kind of failure. */
const mostNamed = 5;

export function judgeDials(
  dials: readonly Dialled[],
  { members, tls, port }: { readonly members: number; readonly tls: boolean; readonly port: number },
): Finding[] {
  const about = 'other nodes';
  const failed = dials.filter(({ failure }) => failure !== undefined);
  const answered = dials.length - failed.length;
  const of = dials.length === members ? `${dials.length}` : `${dials.length} (of ${members})`;
  const how = tls ? 'with TLS' : 'without TLS';
  const findings: Finding[] = [];
  if (answered > 0) findings.push(ok(about, `${answered} of ${of} answer ${how}`));
  for (const [kind, group] of Map.groupBy(failed, ({ failure }) => failure?.kind ?? 'other')) {
    const { says, mend } = words(port)[kind];
    const named = group.slice(0, mostNamed).map(({ id, address }) => (id === address ? id : `${id} (${address})`));
    const more = group.length > named.length ? ` and ${group.length - named.length} more` : '';
    const reason = ['other', 'wrong-name', 'distrust', 'rejected', 'not-tls'].includes(kind)
      ? ` (${group[0]?.failure?.reason})`
      : '';
    findings.push({
      about,
      // One node that is down is that node's problem; all of them are this one's.
      level: answered === 0 ? 'problem' : 'warning',
      says: `${group.length} of ${of} ${says}${reason}: ${named.join(', ')}${more}`,
      mend,
    });
  }
  return findings;
}
