import { formatMs } from '../../units.ts';
import { needsRoot, ok, problem, splitMend, warning } from './findings.ts';
import type { Check, Finding, RunningAgent } from './types.ts';

const about = 'engine';
const log = 'journalctl --unit shoal says why';

/** Whether the engine runs, and what it says is out of order itself. */
export const engineCheck: Check = {
  group: 'agent',
  about,
  boundMs: 10_000,
  run: async ({ agent, config, now }) => {
    const { packageVersion } = await import('../../paths.ts');
    return judgeEngine(agent, { runDir: config.runDir, version: packageVersion(), now: now() });
  },
};

export interface Installed {
  readonly runDir: string;
  /** Of this command. */
  readonly version: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export function judgeEngine(agent: RunningAgent, { runDir, version, now }: Installed): Finding[] {
  const { engine, status, failure, hidden } = agent;
  if (engine === undefined) {
    if (hidden && status === undefined)
      return [needsRoot(about, `the engine's socket in ${runDir} is not open to this user`)];
    return [away(agent, failure ?? 'it does not answer')];
  }
  const findings: Finding[] = [ok(about, `up ${formatMs(Math.max(0, now - engine.process.startedAt * 1000))}`)];
  const { restarts = 0, lastEnd = 'an end that nobody saw' } = status?.supervisor?.engine ?? {};
  if (restarts > 0) {
    const says = `it ended by itself ${restarts === 1 ? 'once' : `${restarts} times`} since the agent started, last with ${lastEnd}`;
    findings.push(warning('engine restarts', says, log));
  }
  if (status !== undefined && status.version !== version) {
    const says = `the agent that runs is ${status.version}, this command is ${version}`;
    findings.push(warning('version', says, 'systemctl restart shoal'));
  }
  for (const { name, state, reason = 'it does not say why', since } of engine.conditions) {
    if (state === 'ok') continue;
    const { says, mend } = splitMend(reason, mends[name] ?? log);
    findings.push({
      about: name,
      level: state === 'failed' ? 'problem' : 'warning',
      says: `${says} (since ${since})`,
      mend,
    });
  }
  return findings;
}

/** By the condition's name. */
const mends: Readonly<Record<string, string>> = {
  disk: 'see disk below; the engine takes the disk into use again by itself',
  membership: 'see peers below; shoal config print shows p2p.membership',
  directory: 'see peers below',
  acr: 'see registries below; shoal config print shows acrInstances',
};

function away({ status }: RunningAgent, failure: string): Finding {
  const said = status?.conditions.find(({ name, state }) => name === about && state !== 'ok')?.reason;
  const { says } = splitMend(said ?? failure, '');
  const problemOf = (mend: string) => problem(about, `pulls are not accelerated: ${says}`, mend);
  // The supervisor starts an engine that has ended, and leaves one that hangs alone.
  if (/does not answer/.test(says))
    return problemOf('systemctl restart shoal; what it did last: journalctl --unit shoal');
  return problemOf(said === undefined ? 'systemctl start shoal; journalctl --unit shoal says why it ended' : log);
}
