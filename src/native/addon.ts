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

/** What native/addon.cc and native/*_binding.cc export. They check what memory safety needs; everything else is checked in this folder. */
export interface Addon {
  /** `interfaceVersion` of the tree that it was built from. */
  readonly interfaceVersion: number;
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

/**
 * Of what the addon exports; native/addon.cc has the same number. To be raised there and here with every change of a call, or of what
 * a call means: an addon that was built before is then refused, instead of failing at the first use.
 */
export const interfaceVersion = 1;

/** Everything that an addon must have. */
const exported = {
  interfaceVersion: true,
  connect: true,
  createArena: true,
  discard: true,
  crc32c: true,
  crc32cOffLoop: true,
  setSendBuffer: true,
  Sha256: true,
  BlockDevice: true,
} satisfies Record<keyof Addon, true>;

const mend = 'in a source tree, build it with `make build`; on a node, install the package again';

let loaded: Addon | undefined;

/**
 * The addon, loaded at the first call, so that commands that need no native code run where it has not been built.
 * @throws Error that says what is wrong with it and how to mend that.
 */
export function addon(): Addon {
  loaded ??= loadAddon(path.join(packageRoot, 'build', 'Release', 'shoal.node'));
  return loaded;
}

/** Loads an addon that fits this program, or throws. */
export function loadAddon(file: string): Addon {
  let found: Partial<Addon>;
  try {
    found = createRequire(import.meta.url)(file) as Partial<Addon>;
  } catch (cause) {
    throw new Error(`the native addon ${file} cannot be loaded: ${mend}`, { cause });
  }
  const { interfaceVersion: version } = found;
  if (version !== interfaceVersion) {
    const has = version === undefined ? 'is of an unknown version' : `has interface version ${version}`;
    throw new Error(
      `the native addon ${file} ${has}, and this Shoal needs ${interfaceVersion}: it was built from another version's sources; ${mend}`,
    );
  }
  const missing = Object.keys(exported).filter((name) => found[name as keyof Addon] === undefined);
  if (missing.length > 0) {
    throw new Error(
      `the native addon ${file} has no ${missing.join(', ')}: it was built from another version's sources; ${mend}`,
    );
  }
  const complete = found as Addon;
  complete.connect(results, deliver);
  return complete;
}
