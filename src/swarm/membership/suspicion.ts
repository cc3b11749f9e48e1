import { Backoff } from '../../backoff.ts';

export interface SuspicionOptions {
  /** Milliseconds to the first probe, and between probes at most. Between them it doubles. */
  readonly firstProbeMs: number;
  readonly longestProbeMs: number;
  /** Milliseconds that a member must do without failure for its earlier ones to be forgotten. */
  readonly probationMs: number;
  /** 0 <= random < 1. */
  readonly random: () => number;
}

export const defaultSuspicion: Omit<SuspicionOptions, 'random'> = {
  firstProbeMs: 1_000,
  longestProbeMs: 60_000,
  probationMs: 300_000,
};

interface Record {
  readonly backoff: Backoff;
  /** When the next probe is due; undefined for a member that is trusted again, on probation. */
  probeAt: number | undefined;
  recoveredAt: number;
}

/**
 * Whom this node holds to be away, and when to ask them again. Pure: the times are handed in.
 *
 * A member that answers probes but fails at work would come and go every second, and its share of the pieces with it. So
 * it stays on probation for a while: when it fails again, the waits go on where they were.
 */
export class Suspicion {
  readonly #options: SuspicionOptions;
  readonly #records = new Map<string, Record>();

  constructor(options: SuspicionOptions) {
    this.#options = options;
  }

  has(id: string): boolean {
    return this.#records.get(id)?.probeAt !== undefined;
  }

  /** True when the member was trusted until now. */
  suspect(id: string, now: number): boolean {
    if (this.has(id)) return false;
    let record = this.#records.get(id);
    if (record === undefined || now - record.recoveredAt >= this.#options.probationMs) record = this.#newRecord(now);
    record.probeAt = now + record.backoff.failed();
    this.#records.set(id, record);
    return true;
  }

  /** The member has given a sign of life: its next probe is due now. True when it is suspected. */
  hasten(id: string, now: number): boolean {
    const record = this.#records.get(id);
    if (record?.probeAt === undefined) return false;
    record.probeAt = Math.min(record.probeAt, now);
    return true;
  }

  probeFailed(id: string, now: number): void {
    const record = this.#records.get(id);
    if (record?.probeAt !== undefined) record.probeAt = now + record.backoff.failed();
  }

  /** True when the member was suspected until now. */
  probeSucceeded(id: string, now: number): boolean {
    const record = this.#records.get(id);
    if (record?.probeAt === undefined) return false;
    record.probeAt = undefined;
    record.recoveredAt = now;
    return true;
  }

  /** Forgets members that left, or came back as somebody else. */
  forget(id: string): void {
    this.#records.delete(id);
  }

  /** Whose probe is due at `now`. */
  due(now: number): string[] {
    return this.#suspected()
      .filter(([, probeAt]) => probeAt <= now)
      .map(([id]) => id);
  }

  /** When the next probe is due; undefined when nobody is suspected. `except` are being probed. */
  nextProbe(except: ReadonlySet<string>): number | undefined {
    const times = this.#suspected()
      .filter(([id]) => !except.has(id))
      .map(([, probeAt]) => probeAt);
    return times.length === 0 ? undefined : times.reduce((one, other) => Math.min(one, other));
  }

  #suspected(): [id: string, probeAt: number][] {
    return [...this.#records].flatMap(([id, { probeAt }]) => (probeAt === undefined ? [] : [[id, probeAt]]));
  }

  #newRecord(now: number): Record {
    const { firstProbeMs: firstMs, longestProbeMs: longestMs, random } = this.#options;
    return { backoff: new Backoff({ firstMs, longestMs, random }), probeAt: undefined, recoveredAt: now };
  }
}
