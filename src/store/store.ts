import type { CacheConfig } from '../config/schema.ts';
import type { Native } from '../native/types.ts';
import type { Logger } from '../telemetry/log.ts';
import { checkFreeMemory, checkTotalMemory } from './available-memory.ts';
import { Store } from './piece-store.ts';

export interface CreateOptions {
  readonly config: CacheConfig;
  /** Where the disk tier lives; not touched in memory mode. */
  readonly directory: string;
  readonly native: Pick<Native, 'createArena' | 'crc32c' | 'crc32cOffLoop' | 'openBlockDevice'>;
  readonly log: Logger;
  /** Seconds since the epoch; the system's clock by default. */
  readonly now?: () => number;
}

/**
 * Opens the piece store that `config` describes. Rejects with a `StoreError` where another process uses the directory, or
 * where memory mode does not find its memory; a disk that can't be used only makes the store a smaller one.
 */
export async function createPieceStore(options: CreateOptions): Promise<Store> {
  const { config, directory, native, log, now = () => Date.now() / 1000 } = options;
  const { mode, aio } = config;
  const blockSize = config.blocksize * 1024;
  const wholeBlocks = (bytes: number) => Math.floor(bytes / blockSize) * blockSize;
  const capacity = wholeBlocks(config.capacity);
  const memory = wholeBlocks(config.optionBlockSize);
  if (mode === 'memory') await checkFreeMemory(memory);
  else checkTotalMemory(memory);
  const store = new Store({
    arena: native.createArena({ capacity: memory, hugePages: true }),
    blockSize,
    now,
    ...(config.cacheTTL > 0 ? { ttl: config.cacheTTL } : {}),
    ...(mode === 'disk' ? { disk: { directory, capacity, aio, native, log } } : {}),
  });
  await store.start();
  return store;
}
