import path from 'node:path';
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import { loadSync, type MethodDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import { packageRoot } from '../paths.ts';
import type { StoreAdmin } from '../store/types.ts';
import { engineSocketPath } from './engine-socket.ts';

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
  const definitions = loadSync(path.join(packageRoot, 'proto/engine.proto'));
  const service = definitions['shoal.engine.v1.Control'] as ServiceDefinition;
  const definition = service.Cache as MethodDefinition<{ method: string }, { json: string }>;
  const call = (method: keyof StoreAdmin): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const client = new Client(`unix:${engineSocketPath(runDir)}`, credentials.createInsecure());
      client.makeUnaryRequest(
        definition.path,
        definition.requestSerialize,
        definition.responseDeserialize,
        { method },
        { deadline: Date.now() + answerBoundMs },
        (error: ServiceError | null, result?: { json: string }) => {
          client.close();
          if (error) reject(error);
          else resolve(JSON.parse(result?.json ?? 'null'));
        },
      );
    });
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
