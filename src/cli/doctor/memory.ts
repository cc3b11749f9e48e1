import { type FreeMemory, measureFreeMemory } from '../../store/available-memory.ts';
import { formatBytes } from '../../units.ts';
import { ok, problem, warning } from './findings.ts';
import type { Check, Finding } from './types.ts';

const about = 'memory tier';
/** Bytes that the processes take besides the tier: what `bootstrap.sh` adds for the unit's limit. */
const besides = 2 * 2 ** 30;

/** Whether the memory tier may grow to its size where the agent runs. */
export const memoryCheck: Check = {
  group: 'memory',
  about,
  boundMs: 5_000,
  run: async ({ root, config, agent }) => {
    const { mode, optionBlockSize } = config.p2p.v2.cache;
    const { engine } = agent;
    const free = await measureFreeMemory(root, engine?.process.pid ?? 'self');
    return [
      judgeMemory({ mode, tier: optionBlockSize, free, ...(engine && { used: engine.store?.memory.used ?? 0 }) }),
    ];
  },
};

export interface MemoryFacts {
  readonly mode: 'disk' | 'memory';
  /** Bytes: `p2p.v2.cache.optionBlockSize`. */
  readonly tier: number;
  /** Bytes of it that the engine that runs has taken; absent when none runs. */
  readonly used?: number;
  readonly free: FreeMemory;
}

export function judgeMemory({ mode, tier, used, free }: MemoryFacts): Finding {
  const missing = tier - (used ?? 0) - free.bytes;
  const taken = used === undefined ? '' : `, ${formatBytes(used)} of it taken`;
  const says = `${formatBytes(tier)}${taken}; ${free.bound} leaves ${formatBytes(free.bytes)}`;
  if (missing <= 0) return ok(about, says);
  const own = /control group (\S+)/.exec(free.bound)?.[1];
  const limit = Math.ceil((tier + besides) / 2 ** 20);
  const mend = own?.endsWith('/shoal.service')
    ? `systemctl edit shoal: [Service] MemoryMax=${limit}M; or lower p2p.v2.cache.optionBlockSize`
    : `lower p2p.v2.cache.optionBlockSize by ${formatBytes(missing)}, or free that much on the node`;
  if (mode === 'memory' && used === undefined) {
    return problem(about, `${says}: ${formatBytes(missing)} are missing, and the agent does not start`, mend);
  }
  return warning(
    about,
    `${says}: as it fills, the kernel may end the engine for want of ${formatBytes(missing)}`,
    mend,
  );
}
