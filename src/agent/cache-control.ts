import { type ServiceError, status } from '@grpc/grpc-js';
import type { StoreAdmin } from '../store/types.ts';
import { callControl } from './control-client.ts';

/** The store's administration, in this process or in the engine's. */
export type CacheAdmin = {
  readonly [Method in keyof StoreAdmin]: () => Promise<Awaited<ReturnType<StoreAdmin[Method]>>>;
};

const methods: ReadonlySet<string> = new Set<keyof StoreAdmin>(['stat', 'list', 'collectGarbage', 'verify', 'clear']);

/** The engine's side: carries out a method by its name. Rejects for one that there isn't. */
export async function runCacheMethod(store: StoreAdmin, method: string): Promise<unknown> {
  if (!methods.has(method)) throw new Error(`${JSON.stringify(method)} is no method of the cache`);
  return store[method as keyof StoreAdmin]();
}

/** Milliseconds to the answer: a whole disk tier may have to be read (`verify`). */
const answerBoundMs = 10 * 60_000;

/** The command line's side: the cache of the agent that runs with this `runDir`, or undefined when none does. */
export async function runningCache(runDir: string): Promise<CacheAdmin | undefined> {
  const call = (method: keyof StoreAdmin) => callControl(runDir, 'Cache', { method }, answerBoundMs);
  const remote = <Method extends keyof StoreAdmin>(method: Method) => call(method) as ReturnType<CacheAdmin[Method]>;
  try {
    await remote('stat');
  } catch (error) {
    if ((error as ServiceError).code === status.UNAVAILABLE) return undefined;
    throw error;
  }
  return {
    stat: () => remote('stat'),
    list: () => remote('list'),
    collectGarbage: () => remote('collectGarbage'),
    verify: () => remote('verify'),
    clear: () => remote('clear'),
  };
}
