import type { PieceStore } from '../store/types.ts';
import { untilAborted } from '../until-aborted.ts';
import type { Blob } from './blob.ts';
import type { BlobFetcher } from './fetching.ts';
import type { OriginFetch } from './origin-fetch.ts';
import type { Run } from './piece-table.ts';
import type { Source } from './source.ts';

const MiB = 1024 * 1024;

/**
 * One request's share of a blob: small enough to spread a blob over several connections. A registry that turned out to be
 * faster than its readers needs no second connection, and is asked for more at a time: each request costs it milliseconds.
 */
const leastRunBytes = 16 * MiB;
const mostRunBytes = 64 * MiB;
/** Requests to one registry at once, by default. The runtime itself uses three a pull. */
const defaultRequestsPerRegistry = 4;
/** On top of them, for readers that have waited for `starvedMs` behind others: each gets a piece, so that it does not give up. */
const requestsForStarved = 2;
const starvedMs = 250;
/** Bytes that are asked for ahead of the runtime at most, however large the store, unless one request is for more. */
const mostAskedAhead = 32 * MiB;
/**
 * Bytes that lie ready for the runtime when a request is held back (its connection is not read), until half of them are
 * left. A registry that is faster than the runtime would only take the processor from it.
 */
const enoughReady = 8 * MiB;
/** Share of its time that a request to a registry that is faster than its readers was held back. */
const muchHeld = 0.25;
/** After a failure the blob is left alone for this long, doubled each time, unless a reader asks. */
const firstPauseMs = 1_000;
/** Failures in a row after which only a reader's demand starts another attempt. */
const patience = 4;

export interface FetcherOptions {
  readonly origin: Pick<OriginFetch, 'fetch' | 'isUnranged'>;
  readonly store: Pick<PieceStore, 'readAheadBytes'>;
  /** All requests at once (`p2p.proxyFsParallels`). */
  readonly parallels: number;
  readonly requestsPerRegistry?: number | undefined;
  /** A piece came: for who tells other nodes of it. */
  readonly onPiece?: (digest: string, index: number, crc32c: number) => void;
  /** Milliseconds. */
  readonly now: () => number;
}

interface Choice {
  readonly blob: Blob;
  readonly run: Run;
  readonly source: Source;
}

interface Pause {
  failures: number;
  until: number;
}

/**
 * A node on its own: decides what is fetched from the origin next, and fetches it. The runtime asks for several layers at once but unpacks
 * them one after the other, in manifest order: so the first layer gets all there is, and the next one what is left. In
 * a layer, pieces that a reader waits for come first, then what lies ahead, as far as the window allows.
 */
export class Fetcher implements BlobFetcher {
  readonly #options: FetcherOptions;
  readonly #requestsPerRegistry: number;
  readonly #blobs = new Set<Blob>();
  readonly #runs = new Map<Blob, Set<AbortController>>();
  readonly #requests = new Map<string, number>();
  readonly #pauses = new WeakMap<Blob, Pause>();
  /** How much a registry is asked for at a time, in bytes; the least where nothing is known. */
  readonly #runBytes = new Map<string, number>();
  /** Go on with the requests that are held back, once something has moved. */
  readonly #held: (() => void)[] = [];
  /** Since when a blob's reader has waited behind others. Milliseconds. */
  readonly #starving = new WeakMap<Blob, number>();
  #inFlight = 0;
  #scheduled = false;

  constructor(options: FetcherOptions) {
    this.#options = options;
    this.#requestsPerRegistry = options.requestsPerRegistry ?? defaultRequestsPerRegistry;
  }

  add(blob: Blob): void {
    this.#blobs.add(blob);
  }

  /** Nobody is interested in the blob any more: what is under way for it ends. */
  remove(blob: Blob): void {
    this.#blobs.delete(blob);
    for (const run of this.#runs.get(blob) ?? []) run.abort();
  }

  /** What is fetched again comes from the same origin: nothing is to be done about what is under way. */
  spoiled(): void {
    this.poke();
  }

  /** Looks for work once the current turn is over, however often it is called. */
  poke(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      for (const goOn of this.#held.splice(0)) goOn();
      for (let choice = this.#choose(); choice !== undefined; choice = this.#choose()) void this.#fetch(choice);
    });
  }

  #choose(): Choice | undefined {
    if (this.#inFlight >= this.#options.parallels) return undefined;
    const blobs = this.#inOrder();
    for (const blob of blobs) {
      const source = this.#freeSource(blob, this.#requestsPerRegistry);
      if (source === undefined) continue;
      const run = this.#askedRun(blob, source) ?? this.#aheadRun(blob, source);
      if (run !== undefined) return { blob, run, source };
    }
    return this.#chooseStarved(blobs);
  }

  /** By their place in the manifest; of two in the same place, the one for which less is under way. */
  #inOrder(): Blob[] {
    const underWay = (blob: Blob) => this.#runs.get(blob)?.size ?? 0;
    return [...this.#blobs].sort((a, b) => a.rank - b.rank || underWay(a) - underWay(b));
  }

  #askedRun(blob: Blob, source: Source): Run | undefined {
    const [index] = blob.askedFor();
    if (index === undefined) return undefined;
    const end = Math.max(index + 1, ...[...blob.interests].filter((i) => i.from <= index).map((i) => i.to));
    return this.#runAt(blob, source, index, end, this.#runBytesOf(source));
  }

  #aheadRun(blob: Blob, source: Source): Run | undefined {
    const runBytes = this.#runBytesOf(source);
    const readAheadBytes = Math.min(this.#options.store.readAheadBytes, Math.max(mostAskedAhead, runBytes));
    let room = readAheadBytes;
    for (const { table } of this.#blobs) room -= table.windowBytes;
    // The window opens piece by piece as the readers move on: wait until it has room for a request worth making.
    if (room < Math.min(leastRunBytes, readAheadBytes / 4) || this.#isPaused(blob)) return undefined;
    for (const interest of blob.interests) {
      const aheadPieces = Math.ceil(interest.aheadBytes / blob.layout.pieceLength);
      const end = Math.min(interest.to, interest.from + aheadPieces);
      const first = blob.table.firstAbsent(interest.from, end);
      if (first >= 0) return this.#runAt(blob, source, first, end, Math.min(runBytes, room));
    }
    return undefined;
  }

  /** A piece for a reader that has waited too long behind others. */
  #chooseStarved(blobs: readonly Blob[]): Choice | undefined {
    const now = this.#options.now();
    for (const blob of blobs) {
      const [index] = blob.askedFor();
      if (index === undefined || this.#runs.has(blob)) {
        this.#starving.delete(blob);
        continue;
      }
      const since = this.#starving.get(blob);
      if (since === undefined) {
        this.#starving.set(blob, now);
        setTimeout(() => this.poke(), starvedMs).unref();
      } else if (now - since >= starvedMs) {
        const source = this.#freeSource(blob, this.#requestsPerRegistry + requestsForStarved);
        const run = source && this.#runAt(blob, source, index, index + 1, leastRunBytes);
        if (source !== undefined && run !== undefined) return { blob, run, source };
      }
    }
    return undefined;
  }

  /** A registry without ranges sends all of a blob anyway: one request takes everything, a second one would be waste. */
  #runAt(blob: Blob, source: Source, from: number, to: number, bytes: number): Run | undefined {
    if (!this.#options.origin.isUnranged(source.registry)) return blob.table.runAt(from, to, bytes);
    if (this.#runs.has(blob)) return undefined;
    return blob.table.runAt(from, blob.layout.count, blob.layout.size);
  }

  /**
   * Holds a request back while enough lies ready for the readers of its blob and of those before it, until half of that is
   * read. Never while a reader waits for anything: a slow registry has what lies ready beyond a gap. And never when it is
   * one of as many requests as there may be, for which others wait, manifests among them. Gives for how long, in milliseconds.
   */
  async #holdBack(blob: Blob, signal: AbortSignal): Promise<number> {
    const enough = Math.min(enoughReady, this.#options.store.readAheadBytes / 2);
    if (this.#readyFor(blob) < enough || this.#isWaitedFor()) return 0;
    const began = this.#options.now();
    do {
      await untilAborted(new Promise<void>((resolve) => this.#held.push(resolve)), signal);
    } while (this.#readyFor(blob) >= enough / 2 && !this.#isWaitedFor());
    return this.#options.now() - began;
  }

  /** Bytes that wait for the readers of this blob and of those before it. */
  #readyFor(blob: Blob): number {
    let bytes = 0;
    for (const { rank, table } of this.#blobs) if (rank <= blob.rank) bytes += table.unreadBytes;
    return bytes;
  }

  #isWaitedFor(): boolean {
    if (this.#inFlight >= this.#options.parallels) return true;
    for (const blob of this.#blobs) if (blob.isAwaited) return true;
    return false;
  }

  #freeSource(blob: Blob, most: number): Source | undefined {
    for (const source of blob.sources) {
      if ((this.#requests.get(source.registry) ?? 0) < most) return source;
    }
    return undefined;
  }

  #isPaused(blob: Blob): boolean {
    const pause = this.#pauses.get(blob);
    if (pause === undefined) return false;
    return pause.failures > patience || this.#options.now() < pause.until;
  }

  async #fetch(choice: Choice): Promise<void> {
    const { blob, run, source } = choice;
    const abort = this.#begin(blob, source);
    const began = this.#options.now();
    let heldMs = 0;
    const error = await this.#options.origin.fetch({
      blob,
      run,
      source,
      signal: abort.signal,
      beforePiece: async (signal) => {
        heldMs += await this.#holdBack(blob, signal);
      },
      onPiece: (index, crc32c) => this.#options.onPiece?.(blob.digest, index, crc32c),
    });
    if (error !== undefined) this.#pause(blob);
    else if (!abort.signal.aborted) this.#pauses.delete(blob);
    this.#learn(choice, heldMs / (this.#options.now() - began));
    this.#end(blob, source, abort);
    this.poke();
  }

  /**
   * What a run says of its registry, by the share of its time that it was held back: a slow one is for moments, too, when a
   * reader gets past what was missing. A run that was too short to be held back says nothing.
   */
  #learn({ blob, run, source }: Choice, heldShare: number): void {
    const { start, end } = blob.layout.rangeOf(run.from, run.to);
    if (heldShare >= muchHeld)
      this.#runBytes.set(source.registry, Math.min(2 * this.#runBytesOf(source), mostRunBytes));
    else if (end - start >= leastRunBytes) this.#runBytes.delete(source.registry);
  }

  #runBytesOf({ registry }: Source): number {
    return this.#runBytes.get(registry) ?? leastRunBytes;
  }

  #begin(blob: Blob, source: Source): AbortController {
    const abort = new AbortController();
    this.#starving.delete(blob);
    this.#inFlight += 1;
    this.#requests.set(source.registry, (this.#requests.get(source.registry) ?? 0) + 1);
    const runs = this.#runs.get(blob) ?? new Set();
    this.#runs.set(blob, runs.add(abort));
    return abort;
  }

  #end(blob: Blob, source: Source, abort: AbortController): void {
    this.#inFlight -= 1;
    const requests = (this.#requests.get(source.registry) ?? 1) - 1;
    if (requests > 0) this.#requests.set(source.registry, requests);
    else this.#requests.delete(source.registry);
    const runs = this.#runs.get(blob);
    runs?.delete(abort);
    if (runs?.size === 0) this.#runs.delete(blob);
  }

  #pause(blob: Blob): void {
    const pause = this.#pauses.get(blob) ?? { failures: 0, until: 0 };
    const milliseconds = firstPauseMs * 2 ** pause.failures;
    pause.failures += 1;
    pause.until = this.#options.now() + milliseconds;
    this.#pauses.set(blob, pause);
    setTimeout(() => this.poke(), milliseconds).unref();
  }
}
