import { once } from 'node:events';

/** Resolves when the process is to end: SIGTERM, or SIGINT of a person. */
export async function stopSignal(): Promise<void> {
  await Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
}
