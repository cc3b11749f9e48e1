import { Evictable, Queue, S3Fifo } from '../src/store/eviction.ts';
import { type Access, clusterTrace, traces } from './harness/pull-trace.ts';

/**
 * Replays image pulls on one node against eviction policies and prints the share of bytes that the cache had: those that
 * need not come from elsewhere. The classes under test are the store's own; LRU and SIEVE stand beside it for comparison.
 */

const GiB = 1024 ** 3;

interface Policy {
  has(id: string): boolean;
  /** A piece that is there is used. */
  touch(id: string, seconds: number): void;
  /** A piece that is not there comes in; others leave. */
  insert(id: string, bytes: number, seconds: number): void;
}

class S3FifoPolicy implements Policy {
  readonly #capacity: number;
  readonly #order: S3Fifo<Evictable>;
  readonly #items = new Map<string, Evictable>();
  #bytes = 0;

  constructor(capacity: number, probation: number, correlated: number) {
    this.#capacity = capacity;
    this.#order = new S3Fifo({ capacity, probation, correlated }, () => false);
  }

  has(id: string): boolean {
    return this.#items.has(id);
  }

  touch(id: string, seconds: number): void {
    const item = this.#items.get(id);
    if (item) this.#order.touch(item, seconds);
  }

  insert(id: string, bytes: number, seconds: number): void {
    while (this.#bytes + bytes > this.#capacity) {
      const item = this.#order.evict();
      if (!item) break;
      this.#items.delete(item.id);
      this.#bytes -= item.bytes;
    }
    const item = new Evictable(id, bytes);
    this.#items.set(id, item);
    this.#order.insert(item, seconds);
    this.#bytes += bytes;
  }
}

/** LRU where `sieve` is false; SIEVE (Zhang et al., NSDI 2024) where it is true. */
class QueuePolicy implements Policy {
  readonly #capacity: number;
  readonly #sieve: boolean;
  readonly #queue = new Queue();
  readonly #items = new Map<string, Evictable>();
  #hand: Evictable | undefined;

  constructor(capacity: number, sieve: boolean) {
    this.#capacity = capacity;
    this.#sieve = sieve;
  }

  has(id: string): boolean {
    return this.#items.has(id);
  }

  touch(id: string): void {
    const item = this.#items.get(id);
    if (!item) return;
    if (this.#sieve) item.uses = 1;
    else {
      this.#queue.remove(item);
      this.#queue.push(item);
    }
  }

  insert(id: string, bytes: number): void {
    while (this.#queue.bytes + bytes > this.#capacity) this.#evict();
    const item = new Evictable(id, bytes);
    this.#items.set(id, item);
    this.#queue.push(item);
  }

  #evict(): void {
    let item = this.#hand ?? this.#queue.oldest;
    while (item && item.uses > 0) {
      item.uses = 0;
      item = item.newer ?? this.#queue.oldest;
    }
    if (!item) return;
    this.#hand = this.#sieve ? item.newer : undefined;
    this.#queue.remove(item);
    this.#items.delete(item.id);
  }
}

interface Candidate {
  readonly name: string;
  readonly make: (capacity: number) => Policy;
}

const candidates: readonly Candidate[] = [
  { name: 'LRU', make: (capacity) => new QueuePolicy(capacity, false) },
  { name: 'SIEVE', make: (capacity) => new QueuePolicy(capacity, true) },
  ...[0.1, 0.25, 0.5].map((share) => ({
    name: `S3-FIFO ${share * 100} %`,
    make: (capacity: number) => new S3FifoPolicy(capacity, share, 0),
  })),
  ...[0.1, 0.25, 0.5].map((share) => ({
    name: `S3-FIFO ${share * 100} %, 60 s`,
    make: (capacity: number) => new S3FifoPolicy(capacity, share, 60),
  })),
];

/** Bytes found over bytes asked for by pulls; what peers ask for in passing is not counted. */
function hitRate(trace: readonly Access[], policy: Policy): number {
  let asked = 0;
  let found = 0;
  for (const { id, bytes, seconds, by } of trace) {
    if (by === 'pull') asked += bytes;
    if (policy.has(id)) {
      if (by === 'pull') found += bytes;
      policy.touch(id, seconds);
    } else if (by === 'pull') policy.insert(id, bytes, seconds);
  }
  return found / asked;
}

const capacities = [1, 2, 4, 8].map((gib) => gib * GiB);
for (const kind of traces) {
  const trace = clusterTrace(kind, 1);
  const gib = trace.reduce((sum, access) => sum + (access.by === 'pull' ? access.bytes : 0), 0) / GiB;
  console.log(`\n${kind.name}: ${kind.pulls} pulls, ${gib.toFixed(0)} GiB asked for`);
  console.log(['byte hit rate, %'.padEnd(22), ...capacities.map((c) => `${c / GiB} GiB`.padStart(8))].join(''));
  for (const { name, make } of candidates) {
    const rates = capacities.map((capacity) => (hitRate(trace, make(capacity)) * 100).toFixed(1).padStart(8));
    console.log([name.padEnd(22), ...rates].join(''));
  }
}
