import type { TraceContext } from '../../telemetry/trace-context.ts';

/** What the swarm's byte transfer asks of the rooms around it, and what it tells them. */

/** A piece by its blob and its place in it; the store's key. */
export interface PieceKey {
  /** `sha256:…` of the whole blob. */
  readonly digest: string;
  readonly index: number;
}

/** A piece that is being sent: its bytes stay as and where they are until `release`, which is called exactly once. */
export interface ProvidedPiece {
  readonly bytes: Buffer;
  readonly crc32c: number;
  release(): void;
}

/** Where the server finds pieces: the store, or whatever wraps it. */
export interface PieceProvider {
  get(key: PieceKey, signal?: AbortSignal): Promise<ProvidedPiece | undefined>;
  /**
   * Mirrors: fetches the piece if it is not there, from `source` (`<registry>/<repository>`), so that `get` finds it. Resolves
   * also when it can't be had; never rejects. `trace`: the requester's, where it is looked at.
   */
  prepare?(key: PieceKey, source: string, signal: AbortSignal, trace: TraceContext | undefined): Promise<void>;
}

/** Why a peer did not give a piece. `busy` is no failure: it has no upload slot free and says so at once. */
export type TransferFailure = 'absent' | 'busy' | 'unreachable' | 'corrupt';

/** A piece did not come. The message names the peer and the cause. */
export class TransferError extends Error {
  readonly kind: TransferFailure;

  constructor(kind: TransferFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'TransferError';
    this.kind = kind;
  }
}
