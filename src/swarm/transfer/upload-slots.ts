export interface UploadSlotsOptions {
  /** Milliseconds, never going back. */
  readonly now: () => number;
  /** Slots before anything was measured, and at most. */
  readonly initial?: number;
  readonly most?: number;
}

/** Bytes per second that an upload should have: a piece of 4 MiB then holds its slot for a second. */
const wantedRate = 4 * 1024 * 1024;
/** Milliseconds over which the uplink is measured: long against one read of a requester, short against a pull. */
const windowLength = 1_000;
/** A window says something about the uplink when all slots were in use for so much of it. */
const fullShare = 0.8;
const defaultInitial = 8;
/** Full windows with one slot after which a second one is tried: a single slow requester hides what the uplink can do. */
const probeAfter = 10;
/** 64 uploads at the wanted rate are 2 Gbit/s; a faster node's uploads are quicker instead of more. */
const defaultMost = 64;

/**
 * How many uploads a node serves at once. A slow node must take few: eight uploads over 20 Mbit/s hold eight requesters for
 * 13 seconds each. So while all slots are in use the throughput is measured. Uploads that are quick get one slot more. Where
 * they are slow the number is halved, and if that cost throughput it was the requesters who were slow: then it grows again.
 */
export class UploadSlots {
  readonly #now: () => number;
  readonly #most: number;
  #count: number;
  #inUse = 0;
  #windowStart: number;
  #sent = 0;
  /** Since when all slots have been in use without a pause; and for how long before that in this window. */
  #fullSince: number | undefined;
  #fullFor = 0;
  /** The last full window with another number of slots. */
  #before: { readonly count: number; readonly rate: number } | undefined;
  #windowsAtOne = 0;

  constructor({ now, initial = defaultInitial, most = defaultMost }: UploadSlotsOptions) {
    this.#now = now;
    this.#most = most;
    this.#count = Math.min(initial, most);
    this.#windowStart = now();
  }

  /** Uploads at once, as of now: what the node tells the directory. */
  get count(): number {
    return this.#count;
  }

  get inUse(): number {
    return this.#inUse;
  }

  /** Takes a slot, which must be given back by one `release`; false when none is free. */
  tryTake(): boolean {
    const now = this.#advance();
    if (this.#inUse >= this.#count) return false;
    this.#inUse += 1;
    this.#noteFullness(now);
    return true;
  }

  /** Bytes of an upload have gone to the kernel. */
  sent(bytes: number): void {
    this.#advance();
    this.#sent += bytes;
  }

  release(): void {
    const now = this.#advance();
    this.#inUse -= 1;
    this.#noteFullness(now);
  }

  #noteFullness(now: number): void {
    const full = this.#inUse >= this.#count;
    if (full) this.#fullSince ??= now;
    else if (this.#fullSince !== undefined) {
      this.#fullFor += now - this.#fullSince;
      this.#fullSince = undefined;
    }
  }

  /** Ends the window if it is over. Returns the time. */
  #advance(): number {
    const now = this.#now();
    const length = now - this.#windowStart;
    if (length < windowLength) return now;
    const full = this.#fullFor + (this.#fullSince === undefined ? 0 : now - this.#fullSince);
    if (full >= fullShare * length) this.#adapt((this.#sent / length) * 1000);
    this.#windowStart = now;
    this.#sent = 0;
    this.#fullFor = 0;
    this.#fullSince = undefined;
    this.#noteFullness(now);
    return now;
  }

  #adapt(rate: number): void {
    const count = this.#count;
    const each = rate / count;
    this.#windowsAtOne = count === 1 ? this.#windowsAtOne + 1 : 0;
    const more = each >= wantedRate || this.#slotsPay(rate, each) || this.#windowsAtOne > probeAfter;
    this.#count = Math.min(this.#most, Math.max(1, more ? count + 1 : Math.floor(count / 2)));
    if (this.#count !== count) this.#before = { count, rate };
  }

  /** Whether the slots between the last number of them and this one bring at least half of what a slot brings on average. */
  #slotsPay(rate: number, each: number): boolean {
    const before = this.#before;
    if (before === undefined) return false;
    return (rate - before.rate) / (this.#count - before.count) >= each / 2;
  }
}
