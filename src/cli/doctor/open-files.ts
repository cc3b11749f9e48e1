import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { isRefused, needsRoot, ok, skipped, warning } from './findings.ts';
import { readBelow } from './proc.ts';
import type { Check, Finding } from './types.ts';

const about = 'open files';
/** Files and sockets that the engine has without any pull. */
const basic = 256;

/** Whether the engine may open as many sockets as its requests and its peers need. Nothing is locked in memory: RLIMIT_MEMLOCK is no matter. */
export const openFilesCheck: Check = {
  group: 'system',
  about,
  boundMs: 10_000,
  run: async ({ root, agent, config }) => {
    const pid = agent.engine?.process.pid;
    if (pid === undefined) return [skipped(about, 'no engine runs whose limit could be read')];
    try {
      const [limits = '', open] = await Promise.all([
        readBelow(root, `proc/${pid}/limits`),
        readdir(path.join(root, `proc/${pid}/fd`)).then(({ length }) => length),
      ]);
      const limit = parseLimit(limits);
      if (limit === undefined) return [skipped(about, `the engine (process ${pid}) has no limit that could be read`)];
      const members = agent.engine?.swarm?.members ?? 0;
      return [judgeOpenFiles({ open, limit, members, parallels: config.p2p.proxyFsParallels })];
    } catch (error) {
      if (isRefused(error)) return [needsRoot(about, `process ${pid} is another user's`)];
      throw error;
    }
  },
};

/** The soft limit of "Max open files" in /proc/<pid>/limits. */
export function parseLimit(limits: string): number | undefined {
  const word = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
  if (word === 'unlimited') return Number.POSITIVE_INFINITY;
  return word === undefined ? undefined : Number(word);
}

export interface OpenFiles {
  readonly open: number;
  readonly limit: number;
  /** Nodes of the swarm: each may have a connection to this node's shard of the directory. */
  readonly members: number;
  /** `p2p.proxyFsParallels`. */
  readonly parallels: number;
}

export function judgeOpenFiles({ open, limit, members, parallels }: OpenFiles): Finding {
  // A request is a socket from the runtime and one to where its bytes come from; a member a stream and its pieces.
  const wanted = basic + 2 * parallels + 2 * members;
  if (limit >= wanted && open < 0.8 * limit) return ok(about, `${open} of ${limit} that the engine may have`);
  const says =
    open >= 0.8 * limit
      ? `the engine has ${open} of the ${limit} that it may have`
      : `the engine may have ${limit}; ${parallels} requests at once and ${members} nodes take up to ${wanted}`;
  const enough = Math.max(65_536, 2 * wanted);
  return warning(about, says, `systemctl edit shoal: [Service] LimitNOFILE=${enough}; then systemctl restart shoal`);
}
