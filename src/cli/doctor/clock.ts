import { formatMs } from '../../units.ts';
import { ok, problem, skipped, warning } from './findings.ts';
import type { Check, Dialled, Finding, PeerAnswers, RegistryAnswers } from './types.ts';

const about = 'clock';
/** A registry's Date has whole seconds, and tokens are checked with a leeway of a minute or so. */
const tolerable = 60_000;
/** Signed requests to Alibaba Cloud may be a quarter of an hour off; certificates of `shoal certs` begin an hour before they are made. */
const intolerable = 15 * 60_000;
/** Nodes that are named. */
const mostNamed = 5;
const restart = 'systemctl restart chronyd || systemctl restart systemd-timesyncd';
const mend = `${restart}; timedatectl shows whether it is in step`;

/** Whether the clock agrees with the registries', and with those of the other nodes. */
export const clockCheck: Check = {
  group: 'clock',
  about,
  boundMs: 25_000,
  remote: true,
  run: async ({ registryAnswers, peerAnswers }, signal) => {
    const [registries, peers] = await Promise.all([registryAnswers(signal), peerAnswers()]);
    return judgeClock(registries, peers);
  },
};

type Told = Dialled & { readonly aheadMs: number };

export function judgeClock({ answers }: Pick<RegistryAnswers, 'answers'>, peers: PeerAnswers): Finding[] {
  const registries = answers.flatMap(({ registry, outcome }) =>
    outcome.kind === 'answered' && outcome.aheadMs !== undefined ? [{ name: registry, aheadMs: outcome.aheadMs }] : [],
  );
  const nodes =
    'dials' in peers ? peers.dials.flatMap((dial) => (dial.aheadMs === undefined ? [] : [dial as Told])) : [];
  // A cluster may be wrong as one, so the word of a registry goes first: of several that which agrees best, for its clock may be wrong, too.
  const witness = closest(registries) ?? median(nodes);
  if (witness === undefined) {
    const says = 'neither a registry nor another node answered with its time';
    return [skipped(about, `${says}; timedatectl shows whether the clock is in step`)];
  }
  const own = judgeOwn(witness);
  // Whoever's clock is wrong finds all the others wrong.
  return own.level === 'ok' ? [own, ...judgeOthers(nodes)] : [own];
}

interface Witness {
  readonly name: string;
  readonly aheadMs: number;
}

function closest(told: readonly Witness[]): Witness | undefined {
  return told.toSorted((one, other) => Math.abs(one.aheadMs) - Math.abs(other.aheadMs))[0];
}

/** Of an even number the one that agrees better: of two clocks that differ, it is not known which is wrong. */
function median(nodes: readonly Told[]): Witness | undefined {
  const sorted = nodes.toSorted((one, other) => one.aheadMs - other.aheadMs);
  const middle = sorted.slice(Math.ceil(sorted.length / 2) - 1, Math.floor(sorted.length / 2) + 1);
  const name = nodes.length === 1 ? (nodes[0]?.id ?? '') : `most of ${nodes.length} other nodes`;
  return closest(middle.map(({ aheadMs }) => ({ name, aheadMs })));
}

function judgeOwn({ name, aheadMs }: Witness): Finding {
  const off = Math.abs(aheadMs);
  if (off <= tolerable) return ok(about, `agrees with ${name} within ${Math.max(1, Math.ceil(off / 1000))} s`);
  const says = `${formatMs(off)} ${aheadMs > 0 ? 'ahead of' : 'behind'} ${name}`;
  return off <= intolerable
    ? warning(about, `${says}: tokens may be refused`, mend)
    : problem(about, `${says}: tokens, signatures and new certificates are refused`, mend);
}

/** A node that is wrong is that node's problem. */
function judgeOthers(nodes: readonly Told[]): Finding[] {
  const wrong = nodes.filter(({ aheadMs }) => Math.abs(aheadMs) > tolerable);
  if (wrong.length === 0) return [];
  const named = wrong
    .slice(0, mostNamed)
    .map(({ id, aheadMs }) => `${id} is ${formatMs(Math.abs(aheadMs))} ${aheadMs > 0 ? 'behind' : 'ahead'}`);
  const more = wrong.length > mostNamed ? ` and ${wrong.length - mostNamed} more` : '';
  const says = `${wrong.length} of ${nodes.length} differ by more than ${tolerable / 1000} s: ${named.join(', ')}${more}`;
  return [warning("other nodes' clocks", says, `on that node: ${restart}`)];
}
