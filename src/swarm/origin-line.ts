import { Backoff } from '../backoff.ts';
import type { Clock } from '../clock.ts';
import type { ScheduleLimits } from './schedule.ts';
import { WaitingLine } from './transfer/waiting-line.ts';

/** After a failure at the origin the node asks for no lease for so long; others may have a way to it. Milliseconds. */
const firstPauseMs = 1_000;
const longestPauseMs = 30_000;
/**
 * Leases of a node whose origin answers late: up to so many times the usual. With small pieces (256 KiB) and 50 ms to the
 * first byte, four at once are 20 MB/s, and one node alone would be slower than without Shoal.
 */
const mostFactor = 4;
/** Weight of the latest fetch in the averages. */
const weight = 0.2;
/** A first byte that comes later has waited in a queue, which more fetches would only lengthen. Milliseconds. */
const longestLatency = 250;

export interface OriginLineOptions {
  readonly limits: Pick<ScheduleLimits, 'leases'>;
  readonly clock: Clock;
  /** How many leases the node should have from now on. */
  readonly changed: (leases: number) => void;
}

/**
 * This node's fetches from origins: how many at once, and whether it should ask for leases at all. Leases are few, because the
 * crowd balances only then; but where a fetch is mostly waiting for the first byte, more of them cost nobody anything.
 */
export class OriginLine {
  readonly #options: OriginLineOptions;
  readonly #line: WaitingLine;
  readonly #backoff: Backoff;
  #leases: number;
  #pause: NodeJS.Timeout | undefined;
  #latency = 0;
  #duration = 0;

  constructor(options: OriginLineOptions) {
    this.#options = options;
    this.#leases = options.limits.leases;
    // Who is told to fetch alone is told so for every piece at once: those wait here for their turn.
    this.#line = new WaitingLine(options.limits.leases * mostFactor);
    this.#backoff = new Backoff({ firstMs: firstPauseMs, longestMs: longestPauseMs, random: options.clock.random });
  }

  /** Runs a fetch when its turn has come. `fetch` may say when its first byte came, by calling its argument. */
  async run<T>(fetch: (firstByte: () => void) => Promise<T>, signal: AbortSignal): Promise<T> {
    await this.#line.enter(signal);
    const { now } = this.#options.clock;
    const from = now();
    let latency: number | undefined;
    try {
      const result = await fetch(() => {
        latency ??= now() - from;
      });
      this.#succeeded(latency ?? 0, now() - from);
      return result;
    } catch (error) {
      if (!signal.aborted) this.#failed();
      throw error;
    } finally {
      this.#line.leave();
    }
  }

  close(): void {
    clearTimeout(this.#pause);
    this.#line.dismiss(new Error('the agent stops'));
  }

  #succeeded(latency: number, duration: number): void {
    this.#latency += weight * (latency - this.#latency);
    this.#duration += weight * (duration - this.#duration);
    this.#backoff.succeeded();
    if (this.#pause !== undefined) return;
    this.#change(leasesFor(this.#options.limits.leases, this.#latency, this.#duration));
  }

  #failed(): void {
    clearTimeout(this.#pause);
    this.#change(0);
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.#change(this.#options.limits.leases);
    }, this.#backoff.failed()).unref();
  }

  #change(leases: number): void {
    if (leases === this.#leases) return;
    this.#leases = leases;
    this.#options.changed(leases);
  }
}

/** As many leases as keep `base` of them transferring: of a fetch's duration, the latency brings no bytes. Milliseconds. */
export function leasesFor(base: number, latency: number, duration: number): number {
  const transferring = duration - Math.min(latency, longestLatency);
  if (!(duration > 0) || latency <= 0) return base;
  if (transferring <= 0) return base * mostFactor;
  return Math.min(base * mostFactor, Math.max(base, Math.round((base * duration) / transferring)));
}
