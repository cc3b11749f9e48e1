import path from 'node:path';
import { runningCache } from '../agent/cache-control.ts';
import type { CacheConfig, Config } from '../config/schema.ts';
import { native } from '../native/index.ts';
import { readGeometry } from '../store/directory.ts';
import { createPieceStore } from '../store/store.ts';
import type { StoreAdmin, StoredBlob } from '../store/types.ts';
import { createLogger } from '../telemetry/log.ts';
import { type ConfigOptions, loadFromOptions } from './config-options.ts';
import { type OutputFormat, print } from './output.ts';
import { engineAnswer } from './running-engine.ts';

export const cacheCommands = ['ls', 'stat', 'gc', 'verify', 'clear'] as const;
export type CacheCommand = (typeof cacheCommands)[number];

/** What a cache command prints: for people, and for programs. */
export interface CacheReport {
  readonly text: string;
  readonly value: unknown;
}

interface Options extends ConfigOptions {
  readonly output: OutputFormat;
}

const MiB = 1024 * 1024;
/** Memory that a command needs to look at a directory that no agent uses. */
const idleMemory = 16 * MiB;

/** `shoal cache <command>`: on the cache of the agent that runs, or on the directory of one that doesn't. */
export async function cache(command: CacheCommand, options: Options): Promise<void> {
  const { config } = await loadFromOptions(options);
  const running = await engineAnswer(config.runDir, runningCache(config.runDir));
  const { text, value } = running
    ? await engineAnswer(config.runDir, runCacheCommand(running, command))
    : await onIdleDirectory(config, (store) => runCacheCommand(store, command));
  print(options.output, text, value);
}

/** What the commands need of a store: the agent's own, or one that was opened for the command. */
type Administered = {
  readonly [Method in keyof StoreAdmin]: () => MaybePromise<Awaited<ReturnType<StoreAdmin[Method]>>>;
};
type MaybePromise<T> = T | Promise<T>;

/** Carries out a command. */
export async function runCacheCommand(store: Administered, command: CacheCommand): Promise<CacheReport> {
  switch (command) {
    case 'ls':
      return describeList(await store.list());
    case 'stat': {
      const value = await store.stat();
      return { text: describeStat(value), value };
    }
    case 'gc': {
      const dropped = await store.collectGarbage();
      return { text: `${dropped} pieces were older than cacheTTL and are dropped`, value: { dropped } };
    }
    case 'verify': {
      const value = await store.verify();
      return { text: `${value.checked} pieces on the disk checked, ${value.damaged} damaged and dropped`, value };
    }
    case 'clear': {
      const dropped = await store.clear();
      return { text: `${dropped} pieces dropped: the cache is empty`, value: { dropped } };
    }
  }
}

/**
 * Opens the cache directory as it is (whatever capacity the configuration gives it), for one command. Throws a `StoreError` of
 * kind `locked` while an agent uses it, and an Error where there is none.
 */
export async function onIdleDirectory<Result>(
  config: Config,
  work: (store: StoreAdmin) => Promise<Result>,
): Promise<Result> {
  const directory = path.join(config.stateDir, 'cache');
  const geometry = await readGeometry(directory, native.crc32c);
  if (!geometry) throw new Error(`there is no disk cache in ${directory}`);
  const asItIs: CacheConfig = {
    ...config.p2p.v2.cache,
    mode: 'disk',
    capacity: geometry.capacity,
    blocksize: geometry.blockSize / 1024,
    optionBlockSize: idleMemory,
  };
  const log = createLogger({ name: 'cache', level: 'error' });
  const store = await createPieceStore({ config: asItIs, directory, native, log });
  try {
    const degraded = store.stat().disk?.degraded;
    if (degraded !== undefined) throw new Error(`the cache in ${directory} can't be used: ${degraded}`);
    return await work(store);
  } finally {
    await store.close();
  }
}

function describeList(blobs: readonly StoredBlob[]): CacheReport {
  const value = [...blobs].sort((a, b) => b.bytes - a.bytes);
  const rows = value.map((blob) => [
    blob.digest,
    `${(blob.bytes / MiB).toFixed(1)} MiB`,
    `${blob.pieces} pieces`,
    `${blob.disk} on disk`,
    `${blob.memory} in memory`,
    blob.verified ? 'verified' : '',
    new Date(blob.storedAt * 1000).toISOString(),
  ]);
  const text = rows.length === 0 ? 'the cache is empty' : rows.map((row) => row.join('  ')).join('\n');
  return { text, value };
}

function describeStat({
  mode,
  memory,
  disk,
  pieces,
  blobs,
  hits,
  misses,
  evictions,
  corrupt,
}: ReturnType<StoreAdmin['stat']>): string {
  const share = (used: number, capacity: number) => `${(used / MiB).toFixed(1)} of ${(capacity / MiB).toFixed(1)} MiB`;
  return [
    `mode: ${mode}`,
    `memory: ${share(memory.used, memory.capacity)}, ${(memory.pinned / MiB).toFixed(1)} MiB pinned, ${(memory.dirty / MiB).toFixed(1)} MiB not on the disk yet`,
    ...(disk ? [`disk: ${share(disk.used, disk.capacity)}, engine ${disk.engine}`] : []),
    ...(disk?.degraded === undefined ? [] : [`disk out of use: ${disk.degraded}`]),
    `content: ${pieces} pieces of ${blobs} blobs`,
    `hits: ${hits.memory} in memory, ${hits.disk} on the disk; misses: ${misses}`,
    `evicted: ${evictions}; damaged: ${corrupt}`,
  ].join('\n');
}
