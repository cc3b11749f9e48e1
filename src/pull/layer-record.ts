import { type ByteSource, type BytesBySource, byteSources, noBytes, type ObservedPiece } from './observer.ts';
import { Timeline, type TimelineView } from './timeline.ts';

/** A blob of a pull, for the eyes of people. Times are milliseconds since the pull's begin; absent: has not happened. */
export interface LayerView {
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  readonly pieces: number;
  /** Bytes that came for this pull. */
  readonly bytes: BytesBySource;
  /** Bytes that the runtime got; more than `size` when it asked twice. */
  readonly delivered: number;
  readonly requestedMs?: number;
  readonly firstPieceMs?: number;
  readonly lastPieceMs?: number;
  readonly firstDeliveredMs?: number;
  readonly lastDeliveredMs?: number;
  /**
   * The blob's pieces in order, each character an equal share of them: `.` none is here; else the first letter of the
   * source of the last that came (memory, disk, peer, `x` for mirror, origin), a capital when all of them are here.
   */
  readonly map: string;
  readonly timeline: TimelineView;
  /** Sources that gave something: pieces, and from when on they were asked until all of theirs were here. */
  readonly sources: Partial<Record<ByteSource, SourceView>>;
}

export interface SourceView {
  readonly pieces: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

/** Characters of a map at most. */
const longestMap = 128;

/** Letters of `byteSources`, in its order. */
export const sourceLetters = 'mdpxo';

/** What is remembered of one blob of a pull. Its size does not grow with the blob's. */
export class LayerRecord {
  readonly digest: string;
  readonly size: number;
  readonly #pieces: number;
  readonly #bytes = noBytes();
  readonly #timeline = new Timeline();
  readonly #sources = byteSources.map(() => ({ pieces: 0, firstMs: Number.POSITIVE_INFINITY, lastMs: 0 }));
  /** By character of the map: pieces that came, and 1 + the source of the last. */
  readonly #came: Uint32Array;
  readonly #source: Uint8Array;
  #delivered = 0;
  #requestedMs: number | undefined;
  #firstPieceMs: number | undefined;
  #lastPieceMs: number | undefined;
  #firstDeliveredMs: number | undefined;
  #lastDeliveredMs: number | undefined;

  constructor(digest: string, size: number, pieces: number) {
    this.digest = digest;
    this.size = size;
    this.#pieces = pieces;
    const characters = Math.min(longestMap, pieces);
    this.#came = new Uint32Array(characters);
    this.#source = new Uint8Array(characters);
  }

  requested(atMs: number): void {
    this.#requestedMs ??= atMs;
  }

  piece({ index, bytes, source, tookMs = 0 }: ObservedPiece, atMs: number): void {
    this.#bytes[source] += bytes;
    this.#timeline.add(atMs, source, bytes);
    this.#firstPieceMs ??= atMs;
    this.#lastPieceMs = atMs;
    const at = Math.floor((index * this.#came.length) / this.#pieces);
    this.#came[at] = (this.#came[at] ?? 0) + 1;
    const row = byteSources.indexOf(source);
    this.#source[at] = 1 + row;
    const sum = this.#sources[row];
    if (sum === undefined) return;
    sum.pieces += 1;
    sum.firstMs = Math.min(sum.firstMs, Math.max(0, atMs - tookMs));
    sum.lastMs = atMs;
  }

  delivered(bytes: number, atMs: number): void {
    this.#delivered += bytes;
    this.#firstDeliveredMs ??= atMs;
    this.#lastDeliveredMs = atMs;
  }

  view(): LayerView {
    return {
      digest: this.digest,
      size: this.size,
      pieces: this.#pieces,
      bytes: { ...this.#bytes },
      delivered: this.#delivered,
      ...(this.#requestedMs !== undefined && { requestedMs: this.#requestedMs }),
      ...(this.#firstPieceMs !== undefined && { firstPieceMs: this.#firstPieceMs }),
      ...(this.#lastPieceMs !== undefined && { lastPieceMs: this.#lastPieceMs }),
      ...(this.#firstDeliveredMs !== undefined && { firstDeliveredMs: this.#firstDeliveredMs }),
      ...(this.#lastDeliveredMs !== undefined && { lastDeliveredMs: this.#lastDeliveredMs }),
      map: this.#map(),
      timeline: this.#timeline.view(),
      sources: this.#sourceViews(),
    };
  }

  #sourceViews(): LayerView['sources'] {
    const views: Partial<Record<ByteSource, SourceView>> = {};
    for (const [row, source] of byteSources.entries()) {
      const sum = this.#sources[row];
      if (sum !== undefined && sum.pieces > 0) views[source] = { ...sum };
    }
    return views;
  }

  #map(): string {
    let map = '';
    for (const [at, came] of this.#came.entries()) {
      const letter = sourceLetters[(this.#source[at] ?? 0) - 1];
      if (letter === undefined) map += '.';
      else map += came >= this.#share(at) ? letter.toUpperCase() : letter;
    }
    return map;
  }

  /** Pieces that fall on a character: those with floor(index × characters / pieces) = at. */
  #share(at: number): number {
    const begin = (character: number) => Math.ceil((character * this.#pieces) / this.#came.length);
    return begin(at + 1) - begin(at);
  }
}
