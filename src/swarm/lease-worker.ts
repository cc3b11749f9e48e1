import { parseTraceparent, type TraceContext } from '../telemetry/trace-context.ts';
import type { AgentMessage, Lease, ShardMessage } from './messages.ts';
import type { PieceKey } from './transfer/types.ts';

/** As in the schedule: a third of the default `transferTimeout`. Milliseconds. */
const progressInterval = 5_000;

export interface LeaseWorkerOptions {
  /** Brings the piece here from the origin. Resolves with its CRC32C. */
  readonly fetch: (
    key: PieceKey,
    source: string,
    signal: AbortSignal,
    trace: TraceContext | undefined,
  ) => Promise<number>;
  readonly say: (message: AgentMessage) => void;
}

/** A mirror's answer to shards: it fetches what they lease to it, unasked, and says what came of it. */
export class LeaseWorker {
  readonly #options: LeaseWorkerOptions;
  readonly #underWay = new Map<string, Lease>();
  readonly #closing = new AbortController();
  readonly #progress: NodeJS.Timeout;

  constructor(options: LeaseWorkerOptions) {
    this.#options = options;
    this.#progress = setInterval(() => {
      for (const { blob, piece } of this.#underWay.values()) options.say({ kind: 'progress', blob, piece });
    }, progressInterval).unref();
  }

  /** Pieces that are being fetched. */
  get active(): number {
    return this.#underWay.size;
  }

  receive(message: ShardMessage): void {
    if (message.kind === 'lease') void this.#work(message);
  }

  close(): void {
    clearInterval(this.#progress);
    this.#closing.abort(new Error('the mirror stops'));
  }

  async #work(lease: Lease): Promise<void> {
    const { blob, piece, source } = lease;
    const name = `${blob} ${piece}`;
    if (this.#underWay.has(name)) return;
    this.#underWay.set(name, lease);
    const { fetch, say } = this.#options;
    try {
      const trace = lease.trace === undefined ? undefined : parseTraceparent(lease.trace);
      const crc32c = await fetch({ digest: blob, index: piece }, source, this.#closing.signal, trace);
      say({ kind: 'have', blob, piece, crc32c, verified: false });
    } catch {
      // Somebody else has to try: the shard asks an agent that waits for the piece. `fetch` has said why it failed.
      if (!this.#closing.signal.aborted) say({ kind: 'cancel', blob, piece });
    } finally {
      this.#underWay.delete(name);
    }
  }
}
