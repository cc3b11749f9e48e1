import { untilAborted } from '../../until-aborted.ts';
import { isRefused, needsRoot, reasonOf, warning } from './findings.ts';
import { type Check, type DoctorContext, type Finding, type Group, groups } from './types.ts';

export interface GroupReport {
  readonly group: Group;
  readonly findings: readonly Finding[];
}

/** Runs the checks, each within its own bound: those of this machine at once, then the others. Never rejects for what a check does. */
export async function runChecks(checks: readonly Check[], context: DoctorContext): Promise<readonly GroupReport[]> {
  const run = async (check: Check): Promise<readonly Finding[]> => {
    const bound = AbortSignal.timeout(check.boundMs);
    try {
      return await untilAborted(check.run(context, bound), bound);
    } catch (error) {
      if (bound.aborted) return [unfinished(check)];
      return [failed(check, error, context.isRoot)];
    }
  };
  const found = new Map<Check, readonly Finding[]>();
  for (const remote of [undefined, true]) {
    const due = checks.filter((check) => check.remote === remote);
    await Promise.all(due.map(async (check) => found.set(check, await run(check))));
  }
  const reports = groups.map((group) => ({
    group,
    findings: checks.filter((check) => check.group === group).flatMap((check) => found.get(check) ?? []),
  }));
  return reports.filter((report) => report.findings.length > 0);
}

function unfinished({ about, boundMs }: Check): Finding {
  const seconds = Math.round(boundMs / 1000);
  return warning(
    about,
    `not known: the check did not end within ${seconds} s`,
    'look for a mount or a service that hangs (dmesg), then run this again',
  );
}

function failed({ about }: Check, error: unknown, isRoot: boolean): Finding {
  if (!isRoot && isRefused(error)) return needsRoot(about, reasonOf(error));
  return warning(about, `not known: ${reasonOf(error)}`, 'mend that, then run this again');
}
