/** Bounds of what one directory shard remembers, whoever speaks to it. A swarm of 10,000 nodes stays far below them. */
export interface DirectoryLimits {
  /** Streams. At most 65,536: agents are numbered in 16 bits. */
  readonly agents: number;
  /** Pieces that anyone holds or wants. */
  readonly pieces: number;
  /** Open wants of one agent. */
  readonly wantsPerAgent: number;
  /** Pieces that one agent announces. */
  readonly holdingsPerAgent: number;
  /** Peers that one agent has reported and is not sent to for a while. */
  readonly distrustPerAgent: number;
}

export const defaultLimits: DirectoryLimits = {
  agents: 16_384,
  pieces: 131_072,
  wantsPerAgent: 1_024,
  // A 4 GiB cache of the smallest pieces (256 KiB), all on one shard.
  holdingsPerAgent: 16_384,
  distrustPerAgent: 64,
};

/** Pieces of one blob: 4 TiB at 4 MiB each. An index beyond is refused. */
export const largestPieceIndex = 2 ** 20 - 1;
/** Peers in one decision: more than one, because a peer may be busy; few, because a shard decides anew for free. */
export const peersPerTake = 4;
