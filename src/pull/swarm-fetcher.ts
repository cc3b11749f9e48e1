import type { PieceStore } from '../store/types.ts';
import type { Destination, PieceMemory, Swarm } from '../swarm/types.ts';
import type { Blob } from './blob.ts';
import type { BlobFetcher } from './fetching.ts';
import type { OriginFetch } from './origin-fetch.ts';
import { countPiece, type Source, traceOf } from './source.ts';

/**
 * A reader that waits while nothing of its blob is on its way here, and nothing has come, for so long: the swarm has forgotten
 * it. Longer than any decision takes, shorter than the mirror's patience (`mirror.stallTimeout`). Milliseconds.
 */
const patienceMs = 8_000;
const lookEveryMs = 1_000;

export interface SwarmFetcherOptions {
  readonly swarm: Swarm;
  readonly store: Pick<PieceStore, 'reserve' | 'has'>;
  readonly origin: Pick<OriginFetch, 'fetch' | 'isUnranged'>;
  /** Milliseconds. */
  readonly now: () => number;
  /** The swarm is no good for this blob; the reason is for the log. */
  readonly goAlone: (blob: Blob, reason: string) => void;
}

interface State {
  /** The swarm knows of the blob. */
  begun: boolean;
  reader: number;
  end: number;
  /** When something last came, or nobody waited. Milliseconds. */
  heardAt: number;
  /** Transfers under way, by piece: two when hedged. */
  readonly underWay: Map<number, number>;
}

/** Tells the swarm what the blobs' readers want, and takes in what it brings. */
export class SwarmFetcher implements BlobFetcher {
  readonly #options: SwarmFetcherOptions;
  readonly #blobs = new Map<Blob, State>();
  #scheduled = false;
  #looking: NodeJS.Timeout | undefined;

  constructor(options: SwarmFetcherOptions) {
    this.#options = options;
  }

  add(blob: Blob): void {
    this.#blobs.set(blob, { begun: false, reader: 0, end: 0, heardAt: this.#options.now(), underWay: new Map() });
    this.#looking ??= setInterval(() => this.#look(), lookEveryMs).unref();
  }

  remove(blob: Blob): void {
    if (!this.#blobs.delete(blob)) return;
    this.#options.swarm.remove(blob.digest);
    if (this.#blobs.size > 0) return;
    clearInterval(this.#looking);
    this.#looking = undefined;
  }

  spoiled(blob: Blob): void {
    const state = this.#blobs.get(blob);
    if (state === undefined) return;
    // What is under way has the wrong bytes: it ends, and everything is asked for anew.
    this.#options.swarm.remove(blob.digest);
    this.#options.swarm.spoiled(blob.digest);
    state.begun = false;
    this.poke();
  }

  /** Looks at what is wanted once the current turn is over, however often it is called. */
  poke(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      for (const [blob, state] of this.#blobs) this.#tell(blob, state);
    });
  }

  #tell(blob: Blob, state: State): void {
    const { swarm } = this.#options;
    if (blob.interests.size === 0) return;
    const reader = readerOf(blob);
    const end = endOf(blob);
    if (!state.begun && !this.#begin(blob, state, end)) return;
    if (end > state.end) {
      state.end = end;
      swarm.reach(blob.digest, end);
    }
    if (reader !== state.reader) {
      state.reader = reader;
      swarm.readerAt(blob.digest, reader);
    }
    for (const index of blob.askedFor()) swarm.await(blob.digest, index);
  }

  #begin(blob: Blob, state: State, end: number): boolean {
    const [source] = blob.sources;
    if (source === undefined) return false;
    if (this.#options.origin.isUnranged(source.registry)) {
      this.#options.goAlone(blob, 'its registry has no ranges: pieces cannot be shared out');
      return false;
    }
    const { layout, digest } = blob;
    Object.assign(state, { begun: true, reader: 0, end });
    const target = {
      blob: digest,
      pieces: layout.count,
      pieceBytes: layout.pieceLength,
      source: `${source.registry}/${source.repository}`,
      end,
    };
    const destination: Destination = {
      source: target.source,
      get trace() {
        const payer = sourceOf(blob);
        return payer && traceOf(payer, digest);
      },
      ...this.#transfers(blob, state),
    };
    this.#options.swarm.add(target, destination, this.#held(blob));
    return true;
  }

  *#held({ digest, layout }: Blob): Generator<number> {
    for (let index = 0; index < layout.count; index += 1) {
      if (this.#options.store.has({ digest, index })) yield index;
    }
  }

  #transfers(blob: Blob, state: State): Pick<Destination, 'reserve' | 'fetch'> {
    return {
      reserve: (piece, from, signal) => this.#reserve(blob, state, { piece, from, signal }),
      fetch: (piece, onFirstByte, signal) => this.#fetch(blob, state, { piece, onFirstByte, signal }),
    };
  }

  async #reserve(
    blob: Blob,
    state: State,
    { piece, from, signal }: { readonly piece: number; readonly from: string; readonly signal: AbortSignal },
  ): Promise<PieceMemory> {
    const run = { from: piece, to: piece + 1 };
    const began = this.#options.now();
    const transfers = state.underWay.get(piece) ?? 0;
    state.underWay.set(piece, transfers + 1);
    if (transfers === 0 && blob.table.isAbsent(piece)) blob.table.markFetching(run);
    const ended = () => {
      const left = (state.underWay.get(piece) ?? 1) - 1;
      if (left > 0) return void state.underWay.set(piece, left);
      state.underWay.delete(piece);
      if (blob.table.isFetching(piece)) blob.failed(run, undefined);
    };
    try {
      const key = { digest: blob.digest, index: piece };
      const writer = await this.#options.store.reserve(key, blob.layout.lengthOf(piece), signal);
      return {
        buffer: writer.buffer,
        commit: (crc32c) => {
          const pinned = writer.commit(crc32c);
          const source = sourceOf(blob);
          if (source !== undefined) {
            const bytes = pinned.bytes.length;
            const sender = this.#options.swarm.describe(from);
            countPiece(source, {
              digest: blob.digest,
              index: piece,
              bytes,
              source: sender?.role === 'mirror' ? 'mirror' : 'peer',
              from,
              tookMs: this.#options.now() - began,
              ...(sender && { zone: sender.zone }),
            });
          }
          state.heardAt = this.#options.now();
          blob.arrived(piece, source);
          ended();
          // Those who waited pin the piece in the next microtasks.
          setImmediate(() => pinned.release());
        },
        abort: () => {
          writer.abort();
          ended();
        },
      };
    } catch (error) {
      ended();
      throw error;
    }
  }

  async #fetch(
    blob: Blob,
    state: State,
    request: { readonly piece: number; readonly onFirstByte: () => void; readonly signal: AbortSignal },
  ): Promise<number> {
    const { piece, onFirstByte, signal } = request;
    const { origin, goAlone } = this.#options;
    const source = sourceOf(blob);
    if (source === undefined) throw new Error('nobody here may fetch the blob any more');
    let crc32c: number | undefined;
    const error = await origin.fetch({
      blob,
      run: { from: piece, to: piece + 1 },
      source,
      signal,
      onFirstByte,
      onPiece: (_, checksum) => {
        crc32c = checksum;
        state.heardAt = this.#options.now();
      },
    });
    if (this.#blobs.has(blob) && origin.isUnranged(source.registry)) {
      goAlone(blob, 'its registry has no ranges: pieces cannot be shared out');
    }
    if (error !== undefined) throw error;
    signal.throwIfAborted();
    if (crc32c === undefined) throw new Error('another of the pulls may fetch the blob');
    return crc32c;
  }

  /** Blobs that the swarm has forgotten go on alone: nothing may hang. */
  #look(): void {
    const now = this.#options.now();
    for (const [blob, state] of this.#blobs) {
      if (!blob.isAwaited || this.#options.swarm.isActive(blob.digest)) state.heardAt = now;
      else if (now - state.heardAt >= patienceMs) {
        this.#options.goAlone(blob, `nothing has come for ${patienceMs / 1000} s, and nothing is on its way`);
      }
    }
  }
}

/** On whose account, and with whose credentials. The first of several pulls; all of them want the same bytes. */
function sourceOf(blob: Blob): Source | undefined {
  const [source] = blob.sources;
  return source;
}

/** The first piece that a reader has not had; the beginning, while nobody reads. */
function readerOf(blob: Blob): number {
  let first = Number.POSITIVE_INFINITY;
  for (const { reads, from } of blob.interests) if (reads) first = Math.min(first, from);
  return Number.isFinite(first) ? first : 0;
}

/** The first piece that nobody wants for now. */
function endOf(blob: Blob): number {
  let end = 0;
  for (const interest of blob.interests) {
    const ahead = Math.ceil(interest.aheadBytes / blob.layout.pieceLength);
    end = Math.max(end, Math.min(interest.to, interest.from + ahead));
  }
  return end;
}
