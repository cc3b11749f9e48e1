import type { PullOutcome } from '../cri/pull-log.ts';
import { resultOf } from '../cri/pull-log.ts';
import { ruleKind } from '../pull/rule-kind.ts';
import { Distribution, type DistributionSnapshot } from '../telemetry/distribution.ts';
import type { EngineLife } from './engine-process.ts';

/** Pulls that were answered, by what became of them. */
export interface PullCount {
  readonly result: 'ok' | 'failed' | 'cancelled';
  readonly accelerated: boolean;
  /** The kind of rule that decided; `engine away`, `engine undecided` where none did. */
  readonly rule: string;
  readonly count: number;
}

/** What the supervisor knows: it is there also while the engine isn't. */
export interface SupervisorStat {
  readonly pulls: readonly PullCount[];
  /** Pulls that the runtime had to repeat because the engine went away under them. */
  readonly engineLost: number;
  /** Seconds from the kubelet's request to its answer. */
  readonly accelerated: DistributionSnapshot;
  readonly plain: DistributionSnapshot;
  readonly engine: EngineLife;
}

/** From an image of one small layer to a large one through a slow registry. Seconds. */
const durationBounds = [0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640];
/** Labels must not grow without end. */
const mostKinds = 64;

/** Counts the pulls that pass through the supervisor. */
export class SupervisorWatch {
  readonly #pulls = new Map<string, Omit<PullCount, 'count'> & { count: number }>();
  readonly #accelerated = new Distribution(durationBounds);
  readonly #plain = new Distribution(durationBounds);
  readonly #engine: () => EngineLife;
  #engineLost = 0;

  constructor(engine: () => EngineLife) {
    this.#engine = engine;
  }

  /** A pull was answered. */
  pulled({ decision, answer, seconds, repeated }: PullOutcome): void {
    const accelerated = decision?.kind === 'accepted';
    const { result } = resultOf(answer);
    const rule = ruleOf(decision);
    const key = `${result} ${accelerated} ${rule}`;
    const known = this.#pulls.get(key);
    if (known !== undefined) known.count += 1;
    else if (this.#pulls.size < mostKinds) this.#pulls.set(key, { result, accelerated, rule, count: 1 });
    (accelerated ? this.#accelerated : this.#plain).observe(seconds);
    if (repeated === 'engine') this.#engineLost += 1;
  }

  stat(): SupervisorStat {
    return {
      pulls: [...this.#pulls.values()].map((count) => ({ ...count })),
      engineLost: this.#engineLost,
      accelerated: this.#accelerated.snapshot(),
      plain: this.#plain.snapshot(),
      engine: this.#engine(),
    };
  }
}

function ruleOf(decision: PullOutcome['decision']): string {
  switch (decision?.kind) {
    case 'accepted':
      return ruleKind(decision.rule);
    case 'declined':
      return ruleKind(decision.reason);
    case 'away':
      return 'engine away';
    case undefined:
      return 'engine undecided';
  }
}
