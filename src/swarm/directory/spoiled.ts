import type { Agent } from './agent.ts';

/** Reports of different agents that make a blob's pieces worthless for everyone. A single one may have bad memory itself. */
const reportersToPurge = 2;
/** Blobs under suspicion that are remembered at once. */
const remembered = 64;
/** After a purge, reports about what was there before it are still under way. */
const graceMs = 60_000;

interface Case {
  readonly reporters: Set<string>;
  purgedAt: number;
  /** Who had published which CRC32C, by piece, when the blob was purged. */
  readonly former: Map<number, Publication>;
}

export interface Publication {
  readonly crc32c: number;
  readonly publisher: Agent;
}

/**
 * Blobs whose SHA-256 was wrong although every piece had its CRC32C: somebody has published the CRC32C of wrong bytes.
 * Which piece it was comes out when the pieces are fetched from the origin anew and one has another CRC32C than before.
 */
export class SpoiledBlobs {
  readonly #cases = new Map<string, Case>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Returns whether the blob's pieces are to be purged now. */
  report(blob: string, reporter: Agent): boolean {
    const known = this.#cases.get(blob) ?? {
      reporters: new Set(),
      purgedAt: Number.NEGATIVE_INFINITY,
      former: new Map(),
    };
    if (!this.#cases.has(blob)) this.#remember(blob, known);
    if (this.#now() < known.purgedAt + graceMs) return false;
    known.reporters.add(reporter.hello.id);
    if (known.reporters.size < reportersToPurge) return false;
    known.reporters.clear();
    known.purgedAt = this.#now();
    return true;
  }

  /** Keeps what was published before the purge, to be compared later. */
  keep(blob: string, piece: number, publication: Publication): void {
    this.#cases.get(blob)?.former.set(piece, publication);
  }

  /** Who had published another CRC32C for a piece that was now fetched anew, if anyone had. Answers once. */
  contradicted(blob: string, piece: number, crc32c: number): Agent | undefined {
    const former = this.#cases.get(blob)?.former;
    const publication = former?.get(piece);
    if (publication === undefined) return undefined;
    former?.delete(piece);
    return publication.crc32c === crc32c ? undefined : publication.publisher;
  }

  /** Whether the agent has reported the blob, and nobody else has confirmed it: it can't use what the others have. */
  isLoner(blob: string, agent: Agent): boolean {
    return this.#cases.size > 0 && (this.#cases.get(blob)?.reporters.has(agent.hello.id) ?? false);
  }

  #remember(blob: string, newCase: Case): void {
    if (this.#cases.size >= remembered) {
      for (const oldest of this.#cases.keys()) {
        this.#cases.delete(oldest);
        break;
      }
    }
    this.#cases.set(blob, newCase);
  }
}
