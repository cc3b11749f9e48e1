import { formatMs } from '../../units.ts';
import { ok, problem, skipped, warning } from './findings.ts';
import type { Check, Finding, RegistryAnswers } from './types.ts';

const about = 'clock';
/** A registry's Date has whole seconds, and tokens are checked with a leeway of a minute or so. */
const tolerable = 60_000;
/** Signed requests to Alibaba Cloud may be a quarter of an hour off; certificates of `shoal certs` begin an hour before they are made. */
const intolerable = 15 * 60_000;
const mend =
  'systemctl restart chronyd || systemctl restart systemd-timesyncd; timedatectl shows whether it is in step';

/** Whether the clock agrees with the registries'. */
export const clockCheck: Check = {
  group: 'clock',
  about,
  boundMs: 25_000,
  remote: true,
  run: async ({ registryAnswers }, signal) => [judgeClock(await registryAnswers(signal))],
};

export function judgeClock({ answers }: Pick<RegistryAnswers, 'answers'>): Finding {
  const told = answers.flatMap(({ registry, outcome }) =>
    outcome.kind === 'answered' && outcome.aheadMs !== undefined ? [{ registry, aheadMs: outcome.aheadMs }] : [],
  );
  // The one that agrees best: a registry's own clock may be wrong, too.
  const best = told.toSorted((one, other) => Math.abs(one.aheadMs) - Math.abs(other.aheadMs))[0];
  if (best === undefined)
    return skipped(about, 'no registry answered with its time; timedatectl shows whether the clock is in step');
  const off = Math.abs(best.aheadMs);
  if (off <= tolerable) return ok(about, `agrees with ${best.registry} within ${Math.max(1, Math.ceil(off / 1000))} s`);
  const says = `${formatMs(off)} ${best.aheadMs > 0 ? 'ahead of' : 'behind'} ${best.registry}`;
  return off <= intolerable
    ? warning(about, `${says}: tokens may be refused`, mend)
    : problem(about, `${says}: tokens, signatures and new certificates are refused`, mend);
}
