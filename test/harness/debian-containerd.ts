import path from 'node:path';
import { run } from './process.ts';

const repository = path.resolve(import.meta.dirname, '../..');

/** A Debian suite whose containerd is another one than the machine's. */
export type DebianSuite = 'trixie' | 'sid';

/** The binary of that suite's containerd, downloaded the first time. Rejects, with apt's own words, when it can't be had. */
export async function debianContainerd(suite: DebianSuite): Promise<string> {
  await run([path.join(repository, 'scripts/debian-containerd'), suite], { timeoutMs: 150_000 });
  return path.join(repository, `.cache/containerd-${suite}/bin/containerd`);
}
