import type { TraceHeaders } from '../telemetry/trace-context.ts';
import type { MemberRole } from './membership/types.ts';
import type { TargetOptions } from './schedule/target.ts';
import type { PieceKey } from './transfer/types.ts';

/** Memory to receive a piece into: the store's. */
export interface PieceMemory {
  readonly buffer: Buffer;
  /** The bytes are there and have this checksum. */
  commit(crc32c: number): void;
  abort(): void;
}

/** A blob that is being brought here, as the node's own rooms see it: where its pieces go, and where else they come from. */
export interface Destination {
  /** `<registry>/<repository>`: where the blob is from. */
  readonly source: string;
  /** What goes along with what others are asked for; undefined where nobody's trace is recorded. */
  readonly trace?: TraceHeaders | undefined;
  /** Memory for exactly the piece. The piece counts as on its way until the memory was committed or given back. */
  reserve(piece: number, from: string, signal: AbortSignal): Promise<PieceMemory>;
  /**
   * Fetches the piece from the origin into the store, with this node's own credentials, and says when its first byte came.
   * Resolves with its CRC32C.
   */
  fetch(piece: number, onFirstByte: () => void, signal: AbortSignal): Promise<number>;
}

/** The other nodes, as the pull room sees them. */
export interface Swarm {
  /** Whether somebody decides now who takes what from whom. While nobody does, every node is on its own. */
  readonly usable: boolean;
  /** Calls `listener` whenever `usable` has changed. */
  onChange(listener: () => void): void;
  /** Begins to bring a blob here. `held`: pieces that are here already. */
  add(target: TargetOptions, destination: Destination, held: Iterable<number>): void;
  /** Nobody here is interested in the blob any more: what is under way for it ends. */
  remove(blob: string): void;
  /** The reader has had everything before `piece`. */
  readerAt(blob: string, piece: number): void;
  /** Somebody waits for the piece. */
  await(blob: string, piece: number): void;
  /** The pieces before `end` are wanted. */
  reach(blob: string, end: number): void;
  /** Whether a piece of the blob is on its way here. */
  isActive(blob: string): boolean;
  /** What is known of a node that gave a piece. */
  describe(peer: string): { readonly role: MemberRole; readonly zone: string } | undefined;
  /** A piece is here that came by another way. */
  obtained(blob: string, piece: number, crc32c: number): void;
  /** The whole blob's SHA-256 was wrong. Call it before its pieces are dropped. */
  spoiled(blob: string): void;
}

/** Where the pieces that others ask for are, and what is announced. */
export interface Holdings {
  get(key: PieceKey, signal?: AbortSignal): Promise<HeldPiece | undefined>;
  holdings(): Iterable<PieceKey & { readonly crc32c: number; readonly verified: boolean }>;
  onRemove(listener: (key: PieceKey) => void): void;
}

interface HeldPiece {
  readonly bytes: Buffer;
  readonly crc32c: number;
  release(): void;
}
