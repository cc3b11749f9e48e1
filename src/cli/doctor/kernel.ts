import { release } from 'node:os';
import { ok, problem } from './findings.ts';
import type { Check, Finding } from './types.ts';

const about = 'kernel';

/** What Node 24 needs, and with it statx, which the disk engine uses (4.11). */
const needed = { major: 4, minor: 18 } as const;

export const kernelCheck: Check = {
  group: 'system',
  about,
  boundMs: 5_000,
  run: async () => [judgeKernel(release(), process.arch)],
};

/** `version`: as `uname -r` says it. */
export function judgeKernel(version: string, arch: string): Finding {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(version)?.map(Number) ?? [];
  if (major === undefined || minor === undefined) return ok(about, `${version}, ${arch}`);
  if (major > needed.major || (major === needed.major && minor >= needed.minor))
    return ok(about, `${version}, ${arch}`);
  const says = `${version} is older than ${needed.major}.${needed.minor}, which Shoal's Node needs`;
  return problem(about, says, 'upgrade the kernel, or leave this node without Shoal (bootstrap.sh uninstall)');
}
