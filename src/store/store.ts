import type { CacheConfig } from '../config/schema.ts';
import type { Native } from '../native/types.ts';
import type { Logger } from '../telemetry/log.ts';
import { Store } from './piece-store.ts';
import type { PieceStore } from './types.ts';

export interface CreateOptions {
  readonly config: CacheConfig;
  /** Where the disk tier lives; not touched in memory mode. */
  readonly directory: string;
  readonly native: Pick<Native, 'createArena'>;
  readonly log: Logger;
  /** Seconds since the epoch; the system's clock by default. */
  readonly now?: () => number;
}

/** Opens the piece store that `config` describes. */
export async function createPieceStore(options: CreateOptions): Promise<PieceStore> {
  const { config, native } = options;
  return new Store({
    arena: native.createArena({ capacity: config.optionBlockSize }),
    blockSize: config.blocksize * 1024,
    now: options.now ?? (() => Date.now() / 1000),
  });
}
