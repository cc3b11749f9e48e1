import { randomBytes } from 'node:crypto';
import type { z } from 'zod';
import type { Clock } from '../clock.ts';
import { parseRetryAfter, TransientError } from '../registry/failure.ts';
import { RetryBudget, type RetryLimits, retrying } from '../registry/retry.ts';
import { RegistryError } from '../registry/types.ts';
import type { Logger } from '../telemetry/log.ts';
import { AcrError } from './errors.ts';
import type { HttpAnswer, Send } from './http.ts';
import { refusalOf } from './refusal.ts';
import type { ServerTime } from './server-time.ts';
import { type AccessKey, canonicalQuery, signedHeaders } from './signature.ts';

/** A call of one action. */
export interface ActionCall<T> {
  /** `https://host`, the best first; the next one is asked where one can't be reached. */
  readonly origins: readonly string[];
  readonly action: string;
  readonly version: string;
  readonly parameters: Readonly<Record<string, string>>;
  /** Signs the call. Undefined for the one action that needs no signature: its parameters prove who asks. */
  readonly key: AccessKey | undefined;
  /** What a good answer has. */
  readonly answer: z.ZodType<T>;
  /** Struck out of the server's words, beside the key's own. */
  readonly secrets?: readonly string[];
}

export interface ApiOptions {
  readonly send: Send;
  readonly time: ServerTime;
  readonly clock: Clock;
  readonly log: Logger;
  /** Milliseconds for one try. */
  readonly deadlineMs?: number;
}

const usualDeadlineMs = 10_000;
/** Tries, and the waiting between them. ACR allows some ten calls a second and account: a crowd of nodes may well hit that. */
const limits: RetryLimits = { fruitless: 5, total: 5, waitMs: 20_000, patienceMs: 60_000, firstWaitMs: 500 };

/** Alibaba Cloud's OpenAPI, RPC style: one action is one POST. */
export class Api {
  readonly #options: ApiOptions;
  /** The origin that answered last, by the list it is in. */
  readonly #answering = new Map<string, string>();

  constructor(options: ApiOptions) {
    this.#options = options;
  }

  /** Rejects with an `AcrError`, or with the signal's reason. Repeats what throttling, 5xx and cut connections end. */
  async call<T>(call: ActionCall<T>, signal: AbortSignal): Promise<T> {
    const { clock, log } = this.#options;
    try {
      return await retrying(
        () => this.#ask(call, signal),
        new RetryBudget(limits, clock),
        clock,
        signal,
        (error, waitMs) => log.debug({ cause: error.message, waitMs: Math.round(waitMs) }, 'OpenAPI call is repeated'),
      );
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      throw unreachable(call, error);
    }
  }

  async #ask<T>(call: ActionCall<T>, signal: AbortSignal): Promise<T> {
    const list = call.origins.join(' ');
    const known = this.#answering.get(list);
    const origins = known === undefined ? call.origins : [known, ...call.origins.filter((origin) => origin !== known)];
    const { deadlineMs = usualDeadlineMs } = this.#options;
    let failure: unknown = new AcrError('configuration', `${call.action}: there is no endpoint to ask`);
    for (const origin of origins) {
      const request = this.#request(call, new URL(origin));
      let answer: HttpAnswer;
      try {
        answer = await this.#options.send({ ...request, signal, deadlineMs });
      } catch (error) {
        if (!(error instanceof RegistryError) || error.kind !== 'unavailable') throw error;
        // That one may be reached again says more than that another has no address.
        if (!(failure instanceof TransientError)) failure = error;
        continue;
      }
      this.#answering.set(list, origin);
      return this.#take(call, `${call.action} at ${request.url.host}`, answer);
    }
    throw failure;
  }

  #request<T>({ key, action, version, parameters }: ActionCall<T>, url: URL) {
    const date = new Date(this.#options.time.now()).toISOString().replace(/\.\d+Z$/, 'Z');
    const nonce = randomBytes(16).toString('hex');
    const accept = 'application/json';
    const method = 'POST' as const;
    if (key !== undefined) {
      url.search = canonicalQuery(parameters);
      const headers = signedHeaders({ method, url, action, version, body: '' }, key, { date, nonce });
      return { method, url, headers: { accept, ...headers } };
    }
    // What is secret is in the form: queries end up in the logs of proxies.
    const call = { Action: action, Format: 'JSON', SignatureNonce: nonce, Timestamp: date, Version: version };
    url.search = canonicalQuery(call);
    const headers = { accept, 'content-type': 'application/x-www-form-urlencoded' };
    return { method, url, headers, body: canonicalQuery(parameters) };
  }

  /** The answer's content. Throws an `AcrError`, or a `TransientError` where another try may do. */
  #take<T>({ key, answer: schema, secrets = [] }: ActionCall<T>, what: string, answer: HttpAnswer): T {
    const refusal = refusalOf(answer, [key?.secret, key?.securityToken, ...secrets]);
    if (refusal === undefined) return parse(schema, what, answer.body);
    const message = `${what}: ${refusal.text}`;
    const { status } = answer;
    switch (refusal.kind) {
      case 'throttled': {
        const retryAfterMs = parseRetryAfter(answer.header('retry-after'), this.#options.time.now());
        throw new TransientError(status === 429 ? 'rate-limited' : 'unavailable', message, { status, retryAfterMs });
      }
      case 'clock': {
        const { time, log } = this.#options;
        const mend = 'set the clock: without NTP (chronyd, systemd-timesyncd) signatures and certificates fail';
        if (!time.correct(answer.header('date'))) throw new AcrError('clock', `${message}; ${mend}`);
        log.warn({ behindSeconds: time.behindSeconds }, `this node's clock is off, Alibaba Cloud's is used; ${mend}`);
        throw new TransientError('unavailable', message, { status });
      }
      default:
        throw new AcrError(refusal.kind, message);
    }
  }
}

function parse<T>(schema: z.ZodType<T>, what: string, body: string): T {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch (cause) {
    throw new AcrError('invalid', `${what}: the answer is not JSON`, cause);
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  // Paths and expectations only: the values may be secrets.
  const [issue] = parsed.error.issues;
  const path = issue?.path.join('.');
  throw new AcrError('invalid', `${what}: the answer has not what it should have: ${path}: ${issue?.message}`);
}

function unreachable(call: { readonly action: string; readonly origins: readonly string[] }, error: RegistryError) {
  const cause = error.cause;
  const unknownName = cause instanceof Error && 'code' in cause && cause.code === 'ENOTFOUND';
  if (unknownName) {
    const hosts = call.origins.join(', ');
    const mend = "is `region` right, and does this node's DNS resolve names outside of the cluster?";
    return new AcrError('wrong-region', `${call.action}: there is no such host: ${hosts}; ${mend}`, error);
  }
  return new AcrError(error.kind === 'invalid' ? 'invalid' : 'unavailable', error.message, error);
}
