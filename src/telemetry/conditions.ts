/**
 * How a part of this node fares. `degraded`: pulls are slower than they could be. `failed`: they are not accelerated at
 * all, so the node is not ready.
 */
export type ConditionState = 'ok' | 'degraded' | 'failed';

/** What was found now. */
export interface Finding {
  /** The part, in a word: `engine`, `disk`. One of a few: it becomes a label. */
  readonly name: string;
  readonly state: ConditionState;
  /** Why it is not in order. */
  readonly reason?: string;
}

/** A finding, and since when the part has been in that state. */
export interface Condition extends Finding {
  /** ISO 8601. */
  readonly since: string;
}

/** Remembers since when each part has been as it is. */
export class Conditions {
  readonly #wall: () => number;
  readonly #known = new Map<string, Condition>();

  /** `wall`: milliseconds since the epoch. */
  constructor(wall: () => number) {
    this.#wall = wall;
  }

  /** Takes what was found now of every part. A new reason in the same state does not make it younger. */
  update(findings: readonly Finding[]): readonly Condition[] {
    const conditions = findings.map((finding) => {
      const former = this.#known.get(finding.name);
      const since = former?.state === finding.state ? former.since : new Date(this.#wall()).toISOString();
      return { ...finding, since };
    });
    this.#known.clear();
    for (const condition of conditions) this.#known.set(condition.name, condition);
    return conditions;
  }
}

/** Whether a node with these conditions accelerates pulls. */
export function isReady(conditions: readonly Condition[]): boolean {
  return conditions.every(({ state }) => state !== 'failed');
}

/** One line a part, as the probes of Kubernetes show it: `[+]disk ok`. */
export function describeConditions(conditions: readonly Condition[]): string {
  const mark = { ok: '+', degraded: '!', failed: '-' } as const;
  const lines = conditions.map(({ name, state, reason, since }) => {
    const why = reason === undefined ? '' : `: ${reason}`;
    return `[${mark[state]}]${name} ${state}${state === 'ok' ? '' : ` since ${since}${why}`}\n`;
  });
  return lines.join('');
}
