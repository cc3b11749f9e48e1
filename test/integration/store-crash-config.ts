import type { CacheConfig } from '../../src/config/schema.ts';

/** A store so small that eviction and the reuse of blocks never stop. */
export const crashConfig: CacheConfig = {
  mode: 'disk',
  blocksize: 64,
  capacity: 8 * 1024 * 1024,
  optionBlockSize: 2 * 1024 * 1024,
  memoryCacheCapacityGB: 1,
  aio: 1,
  cacheTTL: 0,
};
