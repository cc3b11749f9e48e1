import { readFileSync, writeFileSync } from 'node:fs';

const setting = '/proc/sys/vm/nr_hugepages';

/**
 * Reserves `bytes` of huge pages beside those that are there, for a program that has to have them reserved (fio's shmhuge).
 * Returns how to give them back; undefined where the kernel does not give them: not root, or memory too fragmented.
 */
export function reserveHugePages(bytes: number): (() => void) | undefined {
  const before = Number(readFileSync(setting, 'utf8'));
  const size = Number(/^Hugepagesize: +(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1]) * 1024;
  const wanted = before + Math.ceil(bytes / size);
  const giveBack = () => writeFileSync(setting, String(before));
  try {
    writeFileSync(setting, String(wanted));
  } catch (error) {
    if (error instanceof Error && 'code' in error && ['EACCES', 'EPERM', 'EROFS'].includes(String(error.code)))
      return undefined;
    throw error;
  }
  if (Number(readFileSync(setting, 'utf8')) >= wanted) return giveBack;
  giveBack();
  return undefined;
}
