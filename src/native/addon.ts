import { createRequire } from 'node:module';
import path from 'node:path';
import { packageRoot } from '../paths.ts';
import { deliver, results } from './completions.ts';

/** The hash as the addon has it: the caller keeps this object and each chunk until the ticket is delivered. */
export interface AddonSha256 {
  update(chunk: Uint8Array, ticket: number): void;
  finish(ticket: number): void;
  /** Lower-case hex, once the ticket of `finish` is delivered. */
  hex(): string;
}

/** The block device as the addon has it. The caller keeps this object until every ticket is delivered. */
export interface AddonBlockDevice {
  /** Once, before anything else. */
  open(): Promise<void>;
  /** `data` is a view of an arena. The addon holds the arena's memory, not the view. */
  submit(write: boolean, data: Uint8Array, offset: number, ticket: number): void;
  sync(): Promise<void>;
  describe(): { capacity: number; direct: boolean; engine: 'libaio' | 'pool'; engineReason: string };
  load(): { inFlight: number; queued: number };
  /** The last call, when no ticket and no sync is under way. */
  close(): Promise<void>;
}

/** What native/*_binding.cc export. They check what memory safety needs; everything else is checked in this folder. */
export interface Addon {
  /** Once: `deliver(n)` is called when `results` holds n pairs of a ticket and its result: an errno (0 for success) or a CRC32C. */
  connect(results: Int32Array, deliver: (count: number) => void): void;
  createArena(capacity: number, hugePages: boolean): ArrayBuffer;
  discard(memory: ArrayBuffer, offset: number, length: number): void;
  crc32c(data: Uint8Array, seed: number): number;
  /** `data` is a view of an arena, whose memory the addon holds. The ticket's result is the checksum. */
  crc32cOffLoop(data: Uint8Array, ticket: number): void;
  /** SO_SNDBUF of a socket. */
  setSendBuffer(descriptor: number, bytes: number): void;
  readonly Sha256: new () => AddonSha256;
  readonly BlockDevice: new (
    path: string,
    capacity: number,
    aio: boolean,
    depth: number,
    readOnly: boolean,
  ) => AddonBlockDevice;
}

const file = path.join(packageRoot, 'build', 'Release', 'shoal.node');

let loaded: Addon | undefined;

/**
 * The addon, loaded at the first call, so that commands that need no native code run where it has not been built.
 * @throws Error that says where the addon was expected and how to build it.
 */
export function addon(): Addon {
  loaded ??= load();
  return loaded;
}

function load(): Addon {
  let exports: Addon;
  try {
    exports = createRequire(import.meta.url)(file) as Addon;
  } catch (cause) {
    throw new Error(`the native addon ${file} cannot be loaded: build it with \`make native\``, { cause });
  }
  exports.connect(results, deliver);
  return exports;
}
