import { LRUCache } from 'lru-cache';
import { affinity, hashString, hashWith } from './hash.ts';
import { peersPerTake } from './limits.ts';
import type { Member } from './membership/types.ts';
import type { AgentMessage, Failed, Peer, ShardMessage, Want } from './messages.ts';
import type { Directories } from './peer-swarm.ts';
import { piecesPerBucket } from './placement.ts';

/** Pieces whose mirrors failed that are remembered at once. */
const remembered = 4_096;

export interface MirrorDirectoryOptions {
  /** The mirrors that this node can reach. */
  readonly mirrors: () => readonly Member[];
  /** Where decisions go, not before `say` has returned. */
  readonly send: (message: ShardMessage) => void;
}

/**
 * What decides with `downloadPattern: source`: nobody keeps a book of who has what. Each piece has its mirrors, in an order
 * that every node computes alike, so that mirrors share the work; when all of them failed, it comes from the origin.
 */
export class MirrorDirectory implements Directories {
  readonly #options: MirrorDirectoryOptions;
  /** Ids of the mirrors that did not give a piece. */
  readonly #failed = new LRUCache<string, Set<string>>({ max: remembered });
  readonly #undecided = new Map<string, Want>();

  constructor(options: MirrorDirectoryOptions) {
    this.#options = options;
  }

  get usable(): boolean {
    return this.#options.mirrors().length > 0;
  }

  say(message: AgentMessage): void {
    if (message.kind === 'want') this.#decide(message);
    else if (message.kind === 'failed') this.#noteFailure(message);
    else if (message.kind === 'have') this.#failed.delete(nameOf(message));
  }

  #noteFailure(message: Failed): void {
    const name = nameOf(message);
    const failed = this.#failed.get(name) ?? new Set();
    this.#failed.set(name, failed.add(message.peer));
  }

  #decide(want: Want): void {
    const name = nameOf(want);
    // Asked again before the answer went out: the answer is to the last question.
    const waits = this.#undecided.has(name);
    this.#undecided.set(name, want);
    if (waits) return;
    setImmediate(() => {
      const latest = this.#undecided.get(name);
      this.#undecided.delete(name);
      const decision = latest && this.#decision(latest, name);
      if (decision !== undefined) this.#options.send(decision);
    });
  }

  #decision({ blob, piece, lease, source }: Want, name: string): ShardMessage | undefined {
    const failed = this.#failed.get(name);
    const peers = rankMirrors(this.#options.mirrors(), blob, piece).filter(({ id }) => !failed?.has(id));
    if (peers.length > 0) return { kind: 'take', blob, piece, crc32c: undefined, peers: peers.slice(0, peersPerTake) };
    // Without a lease to spare the node asks again when it has one.
    return lease ? { kind: 'lease', blob, piece, source } : undefined;
  }
}

/** A piece's mirrors, by rendezvous hashing of blob and bucket: neighbouring pieces are asked of the same one. */
export function rankMirrors(mirrors: readonly Member[], blob: string, piece: number): Peer[] {
  const key = hashWith(hashString(blob), Math.floor(piece / piecesPerBucket));
  return mirrors
    .map(({ id, address }) => ({ id, address, score: affinity(hashString(id), key) }))
    .sort((one, other) => other.score - one.score || (one.id < other.id ? -1 : 1))
    .map(({ id, address }) => ({ id, address }));
}

function nameOf({ blob, piece }: { readonly blob: string; readonly piece: number }): string {
  return `${blob} ${piece}`;
}
