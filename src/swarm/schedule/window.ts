import type { Target } from './target.ts';

/** The part of the blobs that is brought here now: what lies ahead of their readers, as far as the cache has room. */
export class Window {
  readonly #capacity: number;
  readonly #targets = new Map<string, Target>();
  #bytes = 0;
  #pieces = 0;
  #complete = true;

  /** `capacity`: bytes ahead of all readers together. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Pieces ahead of the readers, here or not. */
  get pieces(): number {
    return this.#pieces;
  }

  /** It reaches to the end of the last blob: it will not slide any further. */
  get complete(): boolean {
    return this.#complete;
  }

  get targets(): Iterable<Target> {
    return this.#targets.values();
  }

  target(blob: string): Target | undefined {
    return this.#targets.get(blob);
  }

  add(target: Target): void {
    this.#targets.set(target.blob, target);
  }

  remove(target: Target): void {
    this.#grow(target, target.reader - target.frontier);
    this.#targets.delete(target.blob);
  }

  /**
   * The target's reader has had everything before `piece`. A reader that begins anew, before another one's place, may find
   * pieces gone that were here: the window is then laid again from there on.
   */
  moveReader(target: Target, piece: number): void {
    const frontier = piece < target.reader ? piece : Math.max(target.frontier, piece);
    this.#grow(target, frontier - piece - (target.frontier - target.reader));
    target.reader = piece;
    target.frontier = frontier;
  }

  /** Widens as far as there is room, in the blobs' order, and names what is missing there. */
  widen(missing: (target: Target, piece: number) => void): void {
    this.#complete = false;
    for (const target of this.#targets.values()) {
      while (target.frontier < target.end) {
        if (this.#bytes + target.pieceBytes > this.#capacity) return;
        const piece = target.frontier;
        target.frontier += 1;
        this.#grow(target, 1);
        if (target.isAbsent(piece)) missing(target, piece);
      }
    }
    this.#complete = true;
  }

  #grow(target: Target, pieces: number): void {
    this.#pieces += pieces;
    this.#bytes += pieces * target.pieceBytes;
  }
}
