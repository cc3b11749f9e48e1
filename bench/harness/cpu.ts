import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { cpuSeconds } from '../../test/harness/process.ts';

/** CPU seconds used between `begin` and a reading. */
export interface CpuReading {
  /** Of all processors, whoever used them. */
  readonly machine: number;
  /** The share of the processors' time that was used, 0 to 1. */
  readonly busy: number;
  /** Of each group of processes. */
  readonly groups: ReadonlyMap<string, number>;
}

/** Begins to count what groups of processes use, beside the whole machine. */
export async function countCpu(
  groups: Readonly<Record<string, readonly number[]>>,
): Promise<() => Promise<CpuReading>> {
  const read = async () => ({
    time: performance.now(),
    machine: await machineSeconds(),
    groups: await Promise.all(
      Object.entries(groups).map(async ([name, pids]): Promise<[string, number]> => {
        const used = await Promise.all(pids.map(cpuSeconds));
        return [name, used.reduce((sum, each) => sum + each, 0)];
      }),
    ),
  });
  const before = await read();
  return async () => {
    const after = await read();
    const machine = after.machine - before.machine;
    const available = ((after.time - before.time) / 1000) * availableParallelism();
    const used = new Map(after.groups.map(([name, total], index) => [name, total - (before.groups[index]?.[1] ?? 0)]));
    return { machine, busy: machine / available, groups: used };
  };
}

/** The first line of /proc/stat (proc(5)) in 1/100 s: user, nice, system, idle, iowait, irq, softirq, steal. */
async function machineSeconds(): Promise<number> {
  const [line = ''] = (await readFile('/proc/stat', 'utf8')).split('\n');
  const [user = 0, nice = 0, system = 0, _idle, _iowait, irq = 0, softirq = 0, steal = 0] = line
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user + nice + system + irq + softirq + steal) / 100;
}
