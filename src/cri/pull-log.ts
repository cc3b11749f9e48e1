import type { Logger } from '../telemetry/log.ts';
import { grpcStatus } from './grpc.ts';
import type { HeldAnswer } from './held-answer.ts';
import { loggableMessage } from './redact.ts';
import type { PullDecision, PullRequest, PullSummary } from './types.ts';

export interface PullOutcome {
  readonly request: PullRequest;
  /** `undefined` when the engine never decided. */
  readonly decision: PullDecision | undefined;
  readonly answer: HeldAnswer | 'cancelled';
  /** From the request to the answer. */
  readonly seconds: number;
  readonly summary: PullSummary | undefined;
  /** Why the runtime was asked twice, if it was: the `engine` went away, or what its `mirror` gave was of no use. */
  readonly repeated?: 'engine' | 'mirror';
  /** An engine had let it in, and was gone when it ended: it has told nobody of it. */
  readonly lost?: true;
}

/** The one line of a pull: what was pulled, for whom, how it ended, how long it took and where its bytes came from. */
export function logPull(log: Logger, outcome: PullOutcome): void {
  const { request, decision, answer, summary } = outcome;
  log.info(
    {
      image: request.image,
      ...(request.pod === undefined ? {} : { pod: { namespace: request.pod.namespace, name: request.pod.name } }),
      ...resultOf(answer),
      seconds: Math.round(outcome.seconds * 1000) / 1000,
      ...(outcome.repeated === undefined ? {} : { repeated: true }),
      ...(outcome.lost === undefined ? {} : { engineLost: true }),
      ...(decision?.kind === 'accepted' ? { rule: decision.rule } : { notAccelerated: reason(decision) }),
      ...(summary === undefined
        ? {}
        : {
            bytes: {
              image: summary.imageBytes,
              memory: summary.memoryBytes,
              disk: summary.diskBytes,
              peer: summary.peerBytes,
              mirror: summary.mirrorBytes,
              origin: summary.originBytes,
            },
          }),
    },
    'pull',
  );
}

function reason(decision: Exclude<PullDecision, { kind: 'accepted' }> | undefined): string {
  return decision === undefined ? 'the engine did not decide in time' : decision.reason;
}

/** What came of a pull, in words that may stand in a log. */
export type PullResult =
  | { readonly result: 'ok' | 'cancelled' }
  | { readonly result: 'failed'; readonly code?: number; readonly error: string };

export function resultOf(answer: PullOutcome['answer']): PullResult {
  if (answer === 'cancelled') return { result: 'cancelled' };
  switch (answer.kind) {
    case 'reset':
      return { result: 'failed', error: `the runtime reset the call (HTTP/2 error ${answer.rstCode})` };
    case 'refused':
      return { result: 'failed', code: answer.code, error: loggableMessage(answer.message) };
    case 'answer':
      if (answer.code === grpcStatus.ok) return { result: 'ok' };
      return { result: 'failed', code: answer.code, error: loggableMessage(answer.message) };
  }
}
