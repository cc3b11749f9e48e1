/** Up to this size a scan of the list is as fast as a bit, and most pieces of most blobs have few holders. */
const scanned = 16;

/**
 * A set of agents by their slot numbers, with what a directory needs of it: uniform random choice, membership in
 * constant time, four bytes and a bit a member. (A Set of numbers costs forty bytes and has no random choice.)
 */
export class AgentSet {
  #list = new Uint16Array(4);
  #size = 0;
  #bits: Uint32Array | undefined;

  get size(): number {
    return this.#size;
  }

  /** The member at a place in [0, size): in no particular order. */
  at(place: number): number {
    return this.#list[place] ?? 0;
  }

  has(slot: number): boolean {
    if (this.#bits === undefined) return this.#place(slot) >= 0;
    return ((this.#bits[slot >>> 5] ?? 0) & (1 << (slot & 31))) !== 0;
  }

  /** Returns whether it was new. */
  add(slot: number): boolean {
    if (this.has(slot)) return false;
    if (this.#size === this.#list.length) {
      const longer = new Uint16Array(this.#size * 2);
      longer.set(this.#list);
      this.#list = longer;
    }
    this.#list[this.#size] = slot;
    this.#size += 1;
    if (this.#bits !== undefined) this.#mark(slot);
    else if (this.#size > scanned) this.#markAll();
    return true;
  }

  /** Returns whether it was there. */
  delete(slot: number): boolean {
    if (!this.has(slot)) return false;
    const place = this.#place(slot);
    this.#size -= 1;
    this.#list[place] = this.at(this.#size);
    if (this.#bits !== undefined) this.#bits[slot >>> 5] = (this.#bits[slot >>> 5] ?? 0) & ~(1 << (slot & 31));
    return true;
  }

  /** Where the slot stands in the list, or -1. What stands behind the last member is left over from deletions. */
  #place(slot: number): number {
    const place = this.#list.indexOf(slot);
    return place < this.#size ? place : -1;
  }

  #markAll(): void {
    this.#bits = new Uint32Array(1);
    for (let place = 0; place < this.#size; place += 1) this.#mark(this.at(place));
  }

  #mark(slot: number): void {
    const word = slot >>> 5;
    if (this.#bits === undefined) return;
    if (word >= this.#bits.length) {
      const longer = new Uint32Array(Math.max(word + 1, this.#bits.length * 2));
      longer.set(this.#bits);
      this.#bits = longer;
    }
    this.#bits[word] = (this.#bits[word] ?? 0) | (1 << (slot & 31));
  }
}
