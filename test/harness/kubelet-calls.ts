import { setTimeout as delay } from 'node:timers/promises';
import type { CriClient } from './cri-client.ts';

/** What became of a kubelet's calls. */
export interface Calls {
  /** How many were answered. */
  readonly answered: number;
  /** Whole pulls among them. */
  readonly pulls: number;
  readonly failures: readonly string[];
  /** Milliseconds that the slowest ImageFsInfo or ListImages took. */
  readonly longestMs: number;
}

/** Makes a kubelet's calls, and pulls of `image` one after the other, until `work` is done. Gives what became of the calls. */
export async function underCalls(cri: CriClient, image: string, work: () => Promise<unknown>): Promise<Calls> {
  let [answered, pulls, longestMs] = [0, 0, 0];
  let running = true;
  const failures: string[] = [];
  const call = async (what: string, make: () => Promise<unknown>): Promise<number> => {
    const began = performance.now();
    try {
      await make();
      answered += 1;
    } catch (error) {
      failures.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    }
    return performance.now() - began;
  };
  const looking = async (): Promise<void> => {
    while (running) {
      longestMs = Math.max(longestMs, await call('ImageFsInfo', () => cri.imageFileSystems()));
      longestMs = Math.max(longestMs, await call('ListImages', () => cri.listImages()));
      await delay(20);
    }
  };
  const pulling = async (): Promise<void> => {
    while (running) {
      await call('PullImage', () => cri.pullImage(image));
      pulls += 1;
      await call('RemoveImage', () => cri.removeImage(image));
    }
  };
  const calls = [looking(), pulling()];
  try {
    await work();
  } finally {
    running = false;
    await Promise.all(calls);
  }
  return { answered, pulls, failures, longestMs };
}
