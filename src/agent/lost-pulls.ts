import { type PullOutcome, resultOf } from '../cri/pull-log.ts';
import type { Logger } from '../telemetry/log.ts';
import type { EngineLife } from './engine-process.ts';

/** LostPull of proto/engine.proto. */
export interface LostPullMessage {
  readonly image: string;
  readonly rule: string;
  readonly podName?: string;
  readonly podNamespace?: string;
  readonly podUid?: string;
  readonly traceparent?: string;
  readonly tracestate?: string;
  readonly began: number;
  readonly elapsed: number;
  readonly outcome: { readonly ok: boolean; readonly error: string };
  readonly repeated: boolean;
  readonly cause: string;
}

export interface LostPullsOptions {
  readonly life: () => EngineLife;
  /** Milliseconds since the epoch. */
  readonly wall: () => number;
  /** Tells the engine that runs next. Rejects when none comes in time. */
  readonly tell: (pull: LostPullMessage) => Promise<void>;
  readonly log: Logger;
}

/** That wait for an engine: an engine that dies takes the pulls of a few pods with it. */
const mostWaiting = 64;

/**
 * The pulls whose engine died under them. What it knew of them is gone, but not that they were: the next engine hears of them, so
 * that they are in the list of pulls, in the trace, and on their pods.
 */
export class LostPulls {
  readonly #options: LostPullsOptions;
  #waiting = 0;

  constructor(options: LostPullsOptions) {
    this.#options = options;
  }

  /** A pull was answered. */
  pulled(outcome: PullOutcome): void {
    if (outcome.lost === undefined || this.#waiting >= mostWaiting) return;
    const { tell, log } = this.#options;
    this.#waiting += 1;
    tell(this.#messageOf(outcome))
      .catch((error: unknown) => log.debug({ err: error }, 'no engine heard of a pull that the last one left behind'))
      .finally(() => {
        this.#waiting -= 1;
      });
  }

  #messageOf({ request, decision, answer, seconds, repeated }: PullOutcome): LostPullMessage {
    const { image, pod, traceparent, tracestate } = request;
    const result = resultOf(answer);
    const elapsed = Math.round(seconds * 1000);
    const { lastEnd } = this.#options.life();
    return {
      image,
      rule: decision?.kind === 'accepted' ? decision.rule : '',
      ...(pod && { podName: pod.name, podNamespace: pod.namespace, podUid: pod.uid }),
      ...(traceparent !== undefined && { traceparent }),
      ...(tracestate !== undefined && { tracestate }),
      began: Math.round(this.#options.wall() - elapsed),
      elapsed,
      outcome: { ok: result.result === 'ok', error: result.result === 'failed' ? result.error : '' },
      repeated: repeated !== undefined,
      cause: `Shoal's engine went away during the pull${lastEnd === undefined ? '' : ` (it ended with ${lastEnd})`}`,
    };
  }
}
