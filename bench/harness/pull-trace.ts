import { PieceLayout } from '../../src/pull/layout.ts';

/** One use of a piece on one node. */
export interface Access {
  readonly id: string;
  readonly bytes: number;
  /** Since the trace began. */
  readonly seconds: number;
  /** `pull`: this node needs the piece. `peer`: another asks for it while the image spreads. */
  readonly by: 'pull' | 'peer';
}

/** What happens on a node. */
export interface TraceKind {
  readonly name: string;
  readonly pulls: number;
  /** Applications; each is built on one of `bases` base images, and is updated now and then. */
  readonly applications: number;
  readonly bases: number;
  /** The share of pulls that are of a big image that nobody asks for again, and its size in MiB. */
  readonly scans: number;
  readonly scanMiB: number;
  /** The share of pulls that bring a new version of the application: new upper layers, same base. */
  readonly updates: number;
}

export const traces: readonly TraceKind[] = [
  { name: 'shared bases, few updates', pulls: 300, applications: 40, bases: 4, scans: 0, scanMiB: 0, updates: 0.1 },
  { name: 'rolling updates', pulls: 300, applications: 40, bases: 6, scans: 0, scanMiB: 0, updates: 0.6 },
  {
    name: 'mixed with big one-off images',
    pulls: 300,
    applications: 40,
    bases: 6,
    scans: 0.08,
    scanMiB: 3072,
    updates: 0.3,
  },
];

const MiB = 1024 * 1024;
const blockSize = 256 * 1024;

interface Layer {
  readonly digest: string;
  readonly bytes: number;
}

/** A generator that a seed determines (mulberry32): runs of the bench are comparable. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * The pulls of one node, piece by piece, with the reads by its peers: each piece is asked for by the runtime once and by up to
 * three peers in the seconds after it. Popularity of applications falls by Zipf's law (exponent 0.9); pulls are minutes apart.
 */
export function clusterTrace(kind: TraceKind, seed: number): Access[] {
  const random = generator(seed);
  const size = (from: number, to: number) => Math.round((from + (to - from) * random() ** 2) * MiB);
  const layers = (name: string, count: number, from: number, to: number): Layer[] =>
    Array.from({ length: count }, (_, at) => ({ digest: `${name}-${at}`, bytes: size(from, to) }));

  const bases = Array.from({ length: kind.bases }, (_, at) => layers(`base${at}`, 3, 10, 150));
  const applications = Array.from({ length: kind.applications }, (_, at) => ({
    base: bases[Math.floor(random() ** 2 * kind.bases)] ?? [],
    own: layers(`app${at}v0`, 3, 1, 200),
  }));
  const weights = applications.map((_, at) => (at + 1) ** -0.9);
  const allWeights = weights.reduce((sum, weight) => sum + weight, 0);
  const pick = (): number => {
    let left = random() * allWeights;
    for (const [at, weight] of weights.entries()) {
      left -= weight;
      if (left < 0) return at;
    }
    return 0;
  };

  const accesses: Access[] = [];
  let clock = 0;
  const pull = (image: readonly Layer[]) => {
    for (const { digest, bytes } of image) {
      const layout = new PieceLayout(bytes, blockSize);
      for (let index = 0; index < layout.count; index += 1) {
        const piece = { id: `${digest}/${index}`, bytes: Math.ceil(layout.lengthOf(index) / blockSize) * blockSize };
        accesses.push({ ...piece, seconds: clock, by: 'pull' });
        const peers = Math.floor(random() * 4);
        for (let peer = 0; peer < peers; peer += 1) {
          accesses.push({ ...piece, seconds: clock + random() * 20, by: 'peer' });
        }
        // 200 MB/s
        clock += piece.bytes / 200e6;
      }
    }
  };
  for (let count = 0; count < kind.pulls; count += 1) {
    clock += random() * 600;
    if (random() < kind.scans) pull(layers(`scan${count}`, 4, kind.scanMiB / 4, kind.scanMiB / 4));
    else {
      const at = pick();
      const application = applications[at];
      if (!application) continue;
      if (random() < kind.updates) application.own = layers(`app${at}v${count}`, 3, 1, 200);
      pull([...application.base, ...application.own]);
    }
  }
  return accesses.sort((a, b) => a.seconds - b.seconds);
}
