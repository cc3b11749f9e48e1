import type { Native } from '../native/types.ts';
import { type RegistryClient, RegistryError } from '../registry/types.ts';
import type { PieceStore } from '../store/types.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Blob } from './blob.ts';
import { PieceAssembler } from './piece-assembler.ts';
import type { Run } from './piece-table.ts';
import { countPiece, type Source, traceOf } from './source.ts';
import { PullError } from './types.ts';

export interface OriginFetchOptions {
  readonly client: Pick<RegistryClient, 'fetchBlob'>;
  readonly store: PieceStore;
  readonly native: Pick<Native, 'crc32c'>;
  readonly log: Logger;
  /** Milliseconds, never going back. */
  readonly now: () => number;
}

export interface OriginRequest {
  readonly blob: Blob;
  readonly run: Run;
  readonly source: Source;
  readonly signal: AbortSignal;
  readonly onFirstByte?: () => void;
  /** Awaited before each piece is taken from the registry: holds the transfer back. The signal ends the wait. */
  readonly beforePiece?: (signal: AbortSignal) => Promise<void>;
  /** Called for each piece as it is there, in order. */
  readonly onPiece?: (index: number, crc32c: number) => void;
}

/** Fetches runs of pieces from origins into the store, and knows what was learnt of a registry on the way. */
export class OriginFetch {
  readonly #options: OriginFetchOptions;
  /** Registries that answer a Range with the whole blob. */
  readonly #unranged = new Set<string>();

  constructor(options: OriginFetchOptions) {
    this.#options = options;
  }

  /** Whether the registry answers a Range with the whole blob: one request takes everything, a second one would be waste. */
  isUnranged(registry: string): boolean {
    return this.#unranged.has(registry);
  }

  /**
   * Fetches the run; the blob hears of every piece that comes, and of those that don't. Resolves with why some did not come;
   * undefined when all came, when the signal ended it, or when another of the blob's sources may do.
   */
  async fetch(request: OriginRequest): Promise<PullError | undefined> {
    const { blob, run, source, signal, onFirstByte, beforePiece, onPiece } = request;
    const { client, store, native, now } = this.#options;
    const began = now();
    blob.table.markFetching(run);
    const assembler = new PieceAssembler({
      digest: blob.digest,
      layout: blob.layout,
      run,
      store,
      native,
      signal,
      beforePiece,
      onPiece: (index, piece) => {
        const bytes = piece.bytes.length;
        const from = source.registry;
        countPiece(source, { digest: blob.digest, index, bytes, source: 'origin', from, tookMs: now() - began });
        blob.arrived(index, source);
        onPiece?.(index, piece.crc32c);
        // Those who waited pin the piece in the next microtasks; released any earlier it might be evicted before.
        setImmediate(() => piece.release());
      },
    });
    let error: PullError | undefined;
    try {
      const { ranged } = await client.fetchBlob(source, blob.digest, {
        credentials: source.credentials,
        range: blob.layout.rangeOf(run.from, run.to),
        size: blob.layout.size,
        signal,
        trace: traceOf(source, blob.digest),
        onData: (chunk) => {
          onFirstByte?.();
          return assembler.take(chunk);
        },
      });
      if (!ranged) this.#unranged.add(source.registry);
      // Must not happen; taken as a success it would be asked for again at once, for ever.
      if (assembler.nextIndex < run.to)
        throw new RegistryError('invalid', 'the registry client ended before the range did');
    } catch (cause) {
      error = this.#explain(blob, source, signal, cause);
    }
    await assembler.end();
    blob.failed({ from: assembler.nextIndex, to: run.to }, error);
    return error;
  }

  /** What the blob's readers are told; nothing when there is another way to go on. */
  #explain(blob: Blob, source: Source, signal: AbortSignal, cause: unknown): PullError | undefined {
    if (signal.aborted) return undefined;
    const refused = cause instanceof RegistryError && ['unauthorized', 'denied', 'not-found'].includes(cause.kind);
    // Another pull's credentials may do. The last source stays: its refusal is the answer.
    if (refused && blob.sources.size > 1) {
      blob.sources.delete(source);
      return undefined;
    }
    const message = cause instanceof Error ? cause.message : String(cause);
    this.#options.log.warn(
      { digest: blob.digest, registry: source.registry, cause: message },
      'fetch from origin failed',
    );
    return new PullError(refused ? 'not-found' : 'unavailable', message, cause);
  }
}
