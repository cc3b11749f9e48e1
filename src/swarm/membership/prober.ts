import type { Clock } from '../../clock.ts';
import type { Suspicion } from './suspicion.ts';

export interface ProberOptions {
  readonly suspicion: Suspicion;
  /** Resolves when the member answers. The signal ends it: at the time limit, when the member leaves, on close. */
  readonly probe: (id: string, signal: AbortSignal) => Promise<void>;
  /** Milliseconds for one probe. */
  readonly timeoutMs: number;
  readonly clock: Pick<Clock, 'now'>;
  /** A suspected member has answered. */
  readonly onRecovered: (id: string) => void;
}

/** Probes at once. When a zone is cut off thousands are suspected: their turn comes, and is not urgent. */
const mostProbes = 16;

/** Asks suspected members whether they are back, when `Suspicion` says so. */
export class Prober {
  readonly #options: ProberOptions;
  readonly #probing = new Map<string, AbortController>();
  readonly #running = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  /** Looks at the suspicions anew; to be called after each change of them. */
  schedule(): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    const { suspicion, clock } = this.#options;
    for (const id of suspicion.due(clock.now())) {
      if (this.#probing.size >= mostProbes) return;
      if (!this.#probing.has(id)) this.#probe(id);
    }
    const next = suspicion.nextProbe(new Set(this.#probing.keys()));
    if (next === undefined) return;
    this.#timer = setTimeout(() => this.schedule(), Math.max(0, Math.ceil(next - clock.now())));
  }

  /** The member left: an answer would say nothing. */
  abandon(id: string): void {
    this.#probing.get(id)?.abort(new Error('the member has left'));
    this.#probing.delete(id);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const id of [...this.#probing.keys()]) this.abandon(id);
    await Promise.all(this.#running);
  }

  #probe(id: string): void {
    const abort = new AbortController();
    this.#probing.set(id, abort);
    const running = this.#outcome(id, abort).then((answered) => {
      this.#running.delete(running);
      // Abandoned; perhaps even probed anew, as somebody else of the same name.
      if (this.#probing.get(id) !== abort) return;
      this.#probing.delete(id);
      this.#settle(id, answered);
      this.schedule();
    });
    this.#running.add(running);
  }

  async #outcome(id: string, abort: AbortController): Promise<boolean> {
    const { probe, timeoutMs } = this.#options;
    const aborted = Promise.withResolvers<false>();
    abort.signal.addEventListener('abort', () => aborted.resolve(false));
    const timer = setTimeout(() => abort.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    const answered = Promise.resolve()
      .then(() => probe(id, abort.signal))
      .then(
        () => true,
        () => false,
      );
    try {
      // A probe that ignores its signal must not hold its place for ever.
      return await Promise.race([answered, aborted.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  #settle(id: string, answered: boolean): void {
    const { suspicion, clock, onRecovered } = this.#options;
    if (!answered) suspicion.probeFailed(id, clock.now());
    else if (suspicion.probeSucceeded(id, clock.now())) onRecovered(id);
  }
}
