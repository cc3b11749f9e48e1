/** A reader that handed something out within this time, in milliseconds, is under way; otherwise it waits for the origin. */
const activeMs = 50;
/** Milliseconds that a reader steps back at most, for each of its pieces. */
const patienceMs = 20;

export interface DeliveryClock {
  /** Monotonic milliseconds. */
  now(): number;
  wait(milliseconds: number): Promise<void>;
}

export const systemDeliveryClock: DeliveryClock = {
  now: () => performance.now(),
  wait: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
};

/** One reader's place in the order. `leave` when it ends. */
export interface Turn {
  /** Resolves when the reader may hand out its next piece. */
  take(): Promise<void>;
  leave(): void;
}

interface Reader {
  readonly rank: number;
  lastPiece: number;
}

/**
 * The order in which one pull's layers go to the runtime. It asks for several at once, but unpacks them one after the
 * other; on a small node it is the runtime's own hashing and writing that bounds how fast it takes them. Served alike, all
 * of them are complete at the same late moment; so while an earlier layer is on its way, the later ones step back, and
 * the first one is unpacked while the others still come. They never stop: a piece every `patienceMs` goes out all the same.
 */
export class DeliveryOrder {
  readonly #clock: DeliveryClock;
  readonly #readers = new Set<Reader>();

  constructor(clock: DeliveryClock = systemDeliveryClock) {
    this.#clock = clock;
  }

  /** `rank`: the layer's place in the manifest. */
  join(rank: number): Turn {
    const reader: Reader = { rank, lastPiece: Number.NEGATIVE_INFINITY };
    this.#readers.add(reader);
    return {
      take: async () => {
        // The first piece never waits: a client wants to see that something comes.
        if (reader.lastPiece !== Number.NEGATIVE_INFINITY && this.#earlierIsActive(rank)) {
          await this.#clock.wait(patienceMs);
        }
        reader.lastPiece = this.#clock.now();
      },
      leave: () => this.#readers.delete(reader),
    };
  }

  #earlierIsActive(rank: number): boolean {
    const since = this.#clock.now() - activeMs;
    for (const reader of this.#readers) {
      if (reader.rank < rank && reader.lastPiece > since) return true;
    }
    return false;
  }
}
