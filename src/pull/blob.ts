import type { Native } from '../native/types.ts';
import type { PieceStore, PinnedPiece } from '../store/types.ts';
import { untilAborted } from '../until-aborted.ts';
import type { PieceLayout } from './layout.ts';
import { PieceTable, type Run } from './piece-table.ts';
import { Progress } from './progress.ts';
import type { Source } from './source.ts';
import { PullError } from './types.ts';
import { hashBlob } from './verifier.ts';

/** Somebody who will read pieces [from, to) in order; `from` moves on as they do. */
export interface Interest {
  from: number;
  readonly to: number;
  /** Bytes ahead of `from` that may be fetched for it. */
  readonly aheadBytes: number;
  /** The whole blob passes through, so its SHA-256 can be checked on the way. */
  readonly whole: boolean;
  /** Somebody takes the pieces out, and `from` is how far they are. Otherwise they are only to be brought here. */
  readonly reads: boolean;
}

interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
  /** False: waits for the piece, but does not ask for it: the verifier, as long as no reader waits for it. */
  readonly asks: boolean;
}

interface Verification {
  readonly done: Promise<void>;
  readonly abort: AbortController;
  /** Pieces hashed so far. */
  readonly progress: Progress;
}

/** How far a reader may be ahead of the hash: as much as certainly stays in the smallest memory tier. */
const hashLagBytes = 4 * 1024 * 1024;

export interface BlobOptions {
  readonly digest: string;
  readonly layout: PieceLayout;
  readonly store: PieceStore;
  readonly native: Pick<Native, 'createSha256'>;
  /** Something is wanted that is not on its way: the scheduler looks at the blob. */
  readonly onDemand: () => void;
  /** The blob's bytes were wrong; called before they are dropped. */
  readonly onSpoiled: () => void;
}

/**
 * A blob that is being pulled: which of its pieces are there, who waits for which, from where they may be fetched, and
 * whether the whole is what its digest says. Lives as long as somebody is interested in it; the pieces stay in the store.
 */
export class Blob {
  readonly digest: string;
  readonly layout: PieceLayout;
  readonly table: PieceTable;
  /** Its place in the manifest: the runtime needs lower ones first. */
  rank = Number.POSITIVE_INFINITY;
  /** In order of preference; credentials never leave this set, and leave it with their session. */
  readonly sources = new Set<Source>();
  readonly interests = new Set<Interest>();
  /** Grows when the pieces turned out wrong and are fetched again: what was pinned before must not be handed out any more. */
  attempt = 0;
  /** For which source's pull a piece was fetched, so that a pull does not count it a second time as a cache hit. */
  readonly fetchedFor: (Source | undefined)[] = [];
  readonly #options: BlobOptions;
  readonly #waiters = new Map<number, Set<Waiter>>();
  /** CRC32C of the pieces that were handed out of an attempt that turned out wrong. */
  readonly #handedOut = new Map<number, number>();
  #verification: Verification | undefined;
  /** Readers that wait for the verification: what it waits for is asked for, then. */
  #checking = 0;
  /** Why nothing more comes out of this blob. */
  #broken: PullError | undefined;

  constructor(options: BlobOptions) {
    this.#options = options;
    this.digest = options.digest;
    this.layout = options.layout;
    this.table = new PieceTable(options.layout);
    for (let index = 0; index < options.layout.count; index += 1) {
      if (options.store.has({ digest: this.digest, index })) this.table.markStored(index);
    }
  }

  get verified(): boolean {
    return this.#options.store.isVerified(this.digest);
  }

  addInterest(interest: Interest): void {
    this.interests.add(interest);
    if (interest.whole && !this.verified) this.#startVerification();
    this.#options.onDemand();
  }

  /** The window of a reader moves on. */
  advance(interest: Interest, from: number): void {
    interest.from = from;
    this.#options.onDemand();
  }

  removeInterest(interest: Interest): void {
    this.interests.delete(interest);
    if (![...this.interests].some((other) => other.whole)) {
      this.#verification?.abort.abort();
      this.#verification = undefined;
    }
    this.#options.onDemand();
  }

  /** The piece, pinned, from the store or as soon as it was fetched. Rejects with a `PullError` when it can't be had. */
  piece(index: number, signal: AbortSignal): Promise<PinnedPiece> {
    return this.#piece(index, () => true, signal);
  }

  /** As `piece`, but waits for somebody else to ask for it first; a piece that was here and is gone is asked for. */
  pieceWhenThere(index: number, signal: AbortSignal): Promise<PinnedPiece> {
    return this.#piece(index, () => this.fetchedFor[index] !== undefined || this.#handedOut.has(index), signal);
  }

  /** Remembers what left the node, in case that the blob turns out to be wrong. */
  handOut(index: number, piece: PinnedPiece): void {
    this.table.markRead(index);
    if (this.verified) return;
    const before = this.#handedOut.get(index);
    // Two different versions went out: no later one can be equal to both.
    this.#handedOut.set(index, before === undefined || before === piece.crc32c ? piece.crc32c : Number.NaN);
  }

  /**
   * Resolves when the blob's SHA-256 was right, or when nobody passes the whole blob through here, so that it can't be
   * known. Rejects with a `PullError` when it is wrong.
   */
  async checked(signal: AbortSignal): Promise<void> {
    if (this.verified || this.#verification === undefined) return;
    this.#checking += 1;
    this.#options.onDemand();
    try {
      await untilAborted(this.#verification.done, signal);
    } finally {
      this.#checking -= 1;
    }
  }

  /** Holds a reader back that is too far ahead of the hash: what it passes would be evicted before it could be hashed. */
  async pace(index: number, signal: AbortSignal): Promise<void> {
    const lag = Math.max(1, Math.floor(hashLagBytes / this.layout.pieceLength));
    await this.#verification?.progress.reach(index - lag, signal);
  }

  hashed(pieces: number): void {
    this.#verification?.progress.advance(pieces);
  }

  /** Somebody waits for a piece, on its way or not. */
  get isAwaited(): boolean {
    for (const waiters of this.#waiters.values()) for (const waiter of waiters) if (this.#asks(waiter)) return true;
    return false;
  }

  /** Pieces that somebody waits for and that are not on their way, lowest first. */
  askedFor(): number[] {
    const asked: number[] = [];
    for (const [index, waiters] of this.#waiters) {
      if (this.table.isAbsent(index) && [...waiters].some((waiter) => this.#asks(waiter))) asked.push(index);
    }
    return asked.sort((a, b) => a - b);
  }

  /** A piece of a run arrived and is in the store. */
  arrived(index: number, source: Source | undefined): void {
    this.table.markFetched(index);
    this.fetchedFor[index] = source;
    const waiters = this.#waiters.get(index);
    this.#waiters.delete(index);
    for (const waiter of waiters ?? []) waiter.resolve();
  }

  /** The rest of a run did not arrive. With an error, those who wait for one of its pieces get it. */
  failed(run: Run, error: PullError | undefined): void {
    for (let index = run.from; index < run.to; index += 1) {
      this.table.markFailed(index);
      if (error !== undefined) this.#rejectAsking(index, error);
    }
  }

  /** Nothing more comes out: readers get the error at their next piece. */
  #break(error: PullError): void {
    this.#broken = error;
    for (const index of [...this.#waiters.keys()]) this.#rejectAsking(index, error);
  }

  async #piece(index: number, asks: () => boolean, signal: AbortSignal): Promise<PinnedPiece> {
    const key = { digest: this.digest, index };
    for (;;) {
      signal.throwIfAborted();
      if (this.#broken !== undefined) throw this.#broken;
      const piece = await this.#options.store.get(key, signal);
      if (piece !== undefined) {
        if (piece.bytes.length === this.layout.lengthOf(index)) return piece;
        this.#refuseLength(piece, index);
      }
      // It may have arrived while the store was asked.
      if (this.#options.store.has(key)) continue;
      this.table.markLost(index);
      await this.#arrival(index, asks(), signal);
    }
  }

  /** A cached piece of another length: one of two descriptors lies about the blob's size. The verified one is right. */
  #refuseLength(piece: PinnedPiece, index: number): void {
    const cached = piece.bytes.length;
    piece.release();
    if (this.verified) {
      throw new PullError(
        'unavailable',
        `${this.digest}: the manifest tells ${this.layout.size} bytes, but the verified blob has another size (piece ${index} has ${cached} bytes)`,
      );
    }
    this.#options.store.drop(this.digest);
  }

  #arrival(index: number, asks: boolean, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { resolve, reject, asks };
    let waiters = this.#waiters.get(index);
    if (waiters === undefined) {
      waiters = new Set();
      this.#waiters.set(index, waiters);
    }
    waiters.add(waiter);
    const onAbort = () => {
      waiters.delete(waiter);
      if (waiters.size === 0 && this.#waiters.get(index) === waiters) this.#waiters.delete(index);
      reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    if (this.#asks(waiter)) this.#options.onDemand();
    return promise.finally(() => signal.removeEventListener('abort', onAbort));
  }

  #asks(waiter: Waiter): boolean {
    return waiter.asks || this.#checking > 0;
  }

  #rejectAsking(index: number, error: PullError): void {
    const waiters = this.#waiters.get(index);
    for (const waiter of [...(waiters ?? [])]) {
      if (!waiter.asks) continue;
      waiters?.delete(waiter);
      waiter.reject(error);
    }
    if (waiters?.size === 0) this.#waiters.delete(index);
  }

  #startVerification(): void {
    if (this.#verification !== undefined) return;
    const abort = new AbortController();
    const progress = new Progress();
    const done = this.#verify(abort.signal).finally(() => progress.end());
    // Those who need the answer await `done`; when nobody does, its rejection is nobody's loss.
    done.catch(() => undefined);
    this.#verification = { done, abort, progress };
  }

  async #verify(signal: AbortSignal): Promise<void> {
    try {
      if ((await hashBlob(this, this.#options.native, signal)).matches) {
        this.#options.store.markVerified(this.digest);
        return;
      }
      await this.#fetchAgain(signal);
    } catch (error) {
      // Aborted: the whole blob no longer passes through here, so nothing can be said about it.
      if (!signal.aborted) throw error;
    }
  }

  /**
   * The bytes were wrong: forget them all and fetch the blob once more. If it is right now, and what was handed out
   * meanwhile was right too, the readers go on as if nothing had happened.
   */
  async #fetchAgain(signal: AbortSignal): Promise<void> {
    this.#options.onSpoiled();
    this.#options.store.drop(this.digest);
    this.attempt += 1;
    for (let index = 0; index < this.layout.count; index += 1) this.table.markLost(index);
    const refetch: Interest = {
      from: 0,
      to: this.layout.count,
      aheadBytes: Number.POSITIVE_INFINITY,
      whole: false,
      reads: false,
    };
    this.interests.add(refetch);
    try {
      const { matches, crcs } = await hashBlob(
        // The readers may be past these pieces: this time the verifier itself has to ask.
        {
          digest: this.digest,
          layout: this.layout,
          pieceWhenThere: (index, abort) => this.piece(index, abort),
          hashed: () => undefined,
        },
        this.#options.native,
        signal,
      );
      if (!matches) throw this.#wrong('twice in a row');
      this.#options.store.markVerified(this.digest);
      for (const [index, crc] of this.#handedOut) {
        if (crcs[index] !== crc) throw this.#wrong(`in piece ${index}, which was handed out`);
      }
    } finally {
      this.interests.delete(refetch);
    }
  }

  #wrong(where: string): PullError {
    const error = new PullError(
      'corrupt',
      `${this.digest}: the registry's bytes are not what the digest says, ${where}`,
    );
    if (!this.verified) this.#options.store.drop(this.digest);
    this.#break(error);
    return error;
  }
}
