import type { OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Logger } from '../telemetry/log.ts';
import { traceContextOf } from '../telemetry/trace-context.ts';
import { untilAborted } from '../until-aborted.ts';
import { formatTimeout, grpcStatus, maximumMessageBytes, messagePrefixBytes, parseTimeout } from './grpc.ts';
import { askRuntime, type HeldAnswer, replyWith } from './held-answer.ts';
import { abortIngest, brokenIngest } from './ingest.ts';
import { logPull, type PullOutcome, resultOf } from './pull-log.ts';
import { readPullRequest } from './pull-request.ts';
import { receive } from './receive.ts';
import { loggableMessage } from './redact.ts';
import { type IncomingCall, relay } from './relay.ts';
import type { Runtime } from './runtime.ts';
import type { PullRequest, PullSession, PullSessions, PullSummary } from './types.ts';

/** Milliseconds that a pull waits for the engine's decision at most: what it costs when the engine hangs. */
const decisionBound = 100;
/** Milliseconds for the engine's and the content store's answers around a failed or finished pull. */
const answerBound = 2000;

export interface PullParts {
  readonly runtime: Runtime;
  readonly sessions: PullSessions;
  readonly log: Logger;
  /** Hears of every pull that was answered. */
  readonly onPull?: (outcome: PullOutcome) => void;
}

/**
 * Handles a PullImage call: the engine hears of it, then the runtime gets the bytes as they came. When the runtime
 * fails with Shoal in its path, it is asked once more without Shoal. Never rejects.
 */
export async function handlePull(call: IncomingCall, parts: PullParts): Promise<void> {
  const { runtime, log } = parts;
  const started = performance.now();
  const received = await receive(call.stream, maximumMessageBytes + messagePrefixBytes);
  if (received.kind === 'gone') return;
  if (received.kind === 'too-large') return relay(call, runtime, received);
  const { body } = received;
  const read = await readPullRequest(body, String(call.headers['grpc-encoding'] ?? ''));
  if (read === undefined) {
    log.warn({ bytes: body.length }, 'a PullImage request could not be read: it goes to the runtime as it is');
    return relay(call, runtime, { chunks: [body] });
  }
  const request = { ...read, ...traceOf(call.headers) };
  const session = parts.sessions.open(request);
  const cancelled = whenClosed(call.stream);
  try {
    // Without a decision in time the pull goes on, too.
    await untilAborted(session.decided(), within(cancelled, decisionBound)).catch(() => undefined);
    const pull = new Pull(call, body, request, session, parts, cancelled, started);
    await pull.run();
  } finally {
    session.close();
  }
}

/** The caller's trace for the engine. The call itself goes on to the runtime with the headers that it came with. */
function traceOf({ traceparent, tracestate }: OutgoingHttpHeaders): Pick<PullRequest, 'traceparent' | 'tracestate'> {
  if (typeof traceparent !== 'string') return {};
  const context = traceContextOf(traceparent, typeof tracestate === 'number' ? undefined : tracestate);
  if (context === undefined) return {};
  return { traceparent, ...(context.state !== undefined && { tracestate: context.state }) };
}

/** Why a pull is repeated. */
interface Cause {
  readonly of: 'engine' | 'mirror';
  readonly text: string;
}

/** One pull, from the engine's decision to its log line. */
class Pull {
  readonly #call: IncomingCall;
  readonly #body: Buffer;
  readonly #request: PullRequest;
  readonly #session: PullSession;
  readonly #parts: PullParts;
  readonly #cancelled: AbortSignal;
  readonly #started: number;

  constructor(
    call: IncomingCall,
    body: Buffer,
    request: PullRequest,
    session: PullSession,
    parts: PullParts,
    cancelled: AbortSignal,
    started: number,
  ) {
    this.#call = call;
    this.#body = body;
    this.#request = request;
    this.#session = session;
    this.#parts = parts;
    this.#cancelled = cancelled;
    this.#started = started;
  }

  async run(): Promise<void> {
    const first = await this.#ask(this.#call.headers);
    const cause = await this.#causeToRepeat(first);
    const answer = cause === undefined ? first : await this.#repeat(first, cause);
    const seconds = this.#elapsed() / 1000;
    replyWith(this.#call.stream, answer);
    const cancelled = this.#cancelled.aborted;
    const summary = cancelled ? undefined : await this.#summary(answer);
    const { decision } = this.#session;
    const outcome: PullOutcome = {
      request: this.#request,
      decision,
      answer: cancelled ? 'cancelled' : answer,
      seconds,
      summary,
      ...(cause !== undefined && { repeated: cause.of }),
      ...(decision?.kind === 'accepted' && !cancelled && summary === undefined && { lost: true }),
    };
    logPull(this.#parts.log, outcome);
    this.#parts.onPull?.(outcome);
  }

  #ask(headers: OutgoingHttpHeaders): Promise<HeldAnswer> {
    return askRuntime(this.#parts.runtime, headers, this.#body, this.#cancelled);
  }

  /**
   * Why the pull failed, as far as Shoal knows, when it is to be repeated; `undefined` when it is not: it succeeded, or
   * nobody waits for it any more, or Shoal had no part in it.
   */
  async #causeToRepeat(answer: HeldAnswer): Promise<Cause | undefined> {
    if (answer.kind !== 'answer' || answer.code === grpcStatus.ok) return undefined;
    if (this.#session.decision?.kind !== 'accepted' || this.#isOver()) return undefined;
    try {
      const { served, cause } = await this.#session.fallBack(within(this.#cancelled, answerBound));
      return served > 0 && !this.#isOver() ? { of: 'mirror', text: cause || 'not known' } : undefined;
    } catch (error) {
      if (this.#isOver()) return undefined;
      const text = `the engine went away or did not answer: ${error instanceof Error ? error.message : error}`;
      return { of: 'engine', text };
    }
  }

  async #repeat(first: HeldAnswer, cause: Cause): Promise<HeldAnswer> {
    const { log, runtime } = this.#parts;
    const message = first.kind === 'answer' ? first.message : '';
    const ingest = brokenIngest(message);
    log.warn(
      { image: this.#request.image, error: loggableMessage(message), cause: loggableMessage(cause.text), ingest },
      "the runtime's pull failed with Shoal in its path: repeating it without Shoal",
    );
    if (ingest !== undefined) await abortIngest(runtime, ingest, within(this.#cancelled, answerBound));
    const left = this.#timeLeft();
    const { headers } = this.#call;
    return this.#ask(left === undefined ? headers : { ...headers, 'grpc-timeout': formatTimeout(left) });
  }

  async #summary(answer: HeldAnswer): Promise<PullSummary | undefined> {
    const { decision } = this.#session;
    // An engine that has not decided yet may have let the pull in, and wants to know how it ended.
    if (decision !== undefined && decision.kind !== 'accepted') return undefined;
    try {
      const result = resultOf(answer);
      const outcome = { ok: result.result === 'ok', error: result.result === 'failed' ? result.error : '' };
      return await this.#session.finish(outcome, AbortSignal.timeout(answerBound));
    } catch {
      // The engine is away: the pull is over all the same, only its bytes are not known.
      return undefined;
    }
  }

  #elapsed(): number {
    return performance.now() - this.#started;
  }

  /** Milliseconds until the caller's deadline; `undefined` when it set none. */
  #timeLeft(): number | undefined {
    const timeout = parseTimeout(String(this.#call.headers['grpc-timeout'] ?? ''));
    return timeout === undefined ? undefined : timeout - this.#elapsed();
  }

  #isOver(): boolean {
    return this.#cancelled.aborted || (this.#timeLeft() ?? 1) <= 0;
  }
}

/** Fires when the caller cancelled the call or went away. */
function whenClosed(stream: ServerHttp2Stream): AbortSignal {
  const controller = new AbortController();
  if (stream.destroyed || stream.closed) controller.abort();
  else stream.once('close', () => controller.abort());
  return controller.signal;
}

function within(signal: AbortSignal, milliseconds: number): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(milliseconds)]);
}
