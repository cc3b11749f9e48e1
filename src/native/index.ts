import { createArena } from './arena.ts';
import { openBlockDevice } from './block-device.ts';
import { crc32c, crc32cOffLoop } from './crc32c.ts';
import { limitSendBuffer } from './send-buffer.ts';
import { createSha256 } from './sha256.ts';
import type { Native } from './types.ts';

/** The addon behind its interface. It is loaded at the first use, with a clear error where it was not built. */
export const native: Native = { createArena, crc32c, crc32cOffLoop, createSha256, openBlockDevice, limitSendBuffer };
