import { type AddonSha256, addon } from './addon.ts';
import { request } from './completions.ts';
import type { Sha256 } from './types.ts';

class ThreadedSha256 implements Sha256 {
  readonly #hash: AddonSha256 = new (addon().Sha256)();
  #ended = false;

  async update(chunk: Uint8Array): Promise<void> {
    this.#checkOpen();
    if (!(chunk instanceof Uint8Array)) throw new TypeError('update() takes a Uint8Array');
    await request([this.#hash, chunk], (ticket) => this.#hash.update(chunk, ticket));
  }

  async digest(): Promise<string> {
    this.#checkOpen();
    this.#ended = true;
    await request([this.#hash], (ticket) => this.#hash.finish(ticket));
    return this.#hash.hex();
  }

  #checkOpen(): void {
    if (this.#ended) throw new Error('the hash has ended: digest() was called before');
  }
}

/** A SHA-256 computed on threads of the addon's own: a slow name server or disk, which block libuv's, holds up no hash. */
export function createSha256(): Sha256 {
  return new ThreadedSha256();
}
