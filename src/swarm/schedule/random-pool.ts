/** Items that come out in random order: a node takes pieces in another order than the next, so that they complement each other. */
export class RandomPool<Item> {
  readonly #items: Item[] = [];
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  add(item: Item): void {
    this.#items.push(item);
  }

  /** Takes one out; undefined when there is none. */
  take(): Item | undefined {
    const place = Math.floor(this.#random() * this.#items.length);
    const item = this.#items[place];
    const last = this.#items.pop();
    if (last !== undefined && place < this.#items.length) this.#items[place] = last;
    return item;
  }
}
