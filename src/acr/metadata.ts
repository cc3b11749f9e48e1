import type { Clock } from '../clock.ts';
import { TransientError } from '../registry/failure.ts';
import { RetryBudget, type RetryLimits, retrying } from '../registry/retry.ts';
import { RegistryError } from '../registry/types.ts';
import { AcrError } from './errors.ts';
import type { HttpAnswer, Send } from './http.ts';
import { type TemporaryKey, temporaryKey } from './sts.ts';

/** Seconds that a session token is asked for: the longest that the service gives. */
const tokenLifetime = 21_600;
/** Milliseconds for one try: the service is on the host beside the node. */
const deadlineMs = 3_000;
const limits: RetryLimits = { fruitless: 3, total: 3, waitMs: 5_000, patienceMs: 15_000, firstWaitMs: 300 };

const rolesPath = 'ram/security-credentials/';

/** The metadata service of an ECS instance, with session tokens alone (IMDSv2): works where IMDSv1 is switched off. */
export class EcsMetadata {
  readonly #origin: string;
  readonly #send: Send;
  readonly #clock: Clock;
  #token: { readonly value: string; readonly endsAt: number } | undefined;

  /** `send` must not go through a proxy: the service answers each machine about itself. */
  constructor(origin: string, send: Send, clock: Clock) {
    this.#origin = origin;
    this.#send = send;
    this.#clock = clock;
  }

  /** `cn-hangzhou`. Rejects with an `AcrError`. */
  region(signal: AbortSignal): Promise<string> {
    return this.#text('region-id', /^[a-z0-9-]{1,64}$/, signal);
  }

  /** `vpc-…`. Rejects with an `AcrError`. */
  vpcId(signal: AbortSignal): Promise<string> {
    return this.#text('vpc-id', /^vpc-[a-z0-9]{1,64}$/, signal);
  }

  /** Credentials of the node's RAM role. Rejects with an `AcrError`. */
  async roleCredentials(signal: AbortSignal): Promise<TemporaryKey> {
    const listed = await this.#get(rolesPath, signal);
    const role = listed?.trim().split('\n')[0] ?? '';
    if (!/^[A-Za-z0-9.@_-]{1,64}$/.test(role)) {
      const mend = 'attach the worker RAM role to it, or use an AccessKey or RRSA';
      throw new AcrError('credentials', `this node has no RAM role (ECS metadata, ${rolesPath}); ${mend}`);
    }
    const what = `ECS metadata, ${rolesPath}${role}`;
    const body = await this.#get(`${rolesPath}${role}`, signal);
    try {
      return temporaryKey.parse(JSON.parse(body ?? ''));
    } catch {
      // Without the cause: a parser's error quotes what it couldn't read.
      throw new AcrError('invalid', `${what}: the answer has no credentials`);
    }
  }

  async #text(path: string, pattern: RegExp, signal: AbortSignal): Promise<string> {
    const text = (await this.#get(path, signal))?.trim() ?? '';
    if (!pattern.test(text)) throw new AcrError('invalid', `ECS metadata, ${path}: the answer is none`);
    return text;
  }

  /** Undefined: there is nothing of that name. */
  async #get(path: string, signal: AbortSignal): Promise<string | undefined> {
    try {
      return await retrying(
        () => this.#ask(path, signal),
        new RetryBudget(limits, this.#clock),
        this.#clock,
        signal,
        () => undefined,
      );
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      const mend = 'on machines that are not ECS instances set region (and vpcId), and use an AccessKey or RRSA';
      throw new AcrError('unavailable', `the ECS metadata service does not answer: ${error.message}; ${mend}`, error);
    }
  }

  async #ask(path: string, signal: AbortSignal): Promise<string | undefined> {
    const answer = await this.#exchange('GET', `/latest/meta-data/${path}`, signal, {
      'x-aliyun-ecs-metadata-token': await this.#sessionToken(signal),
    });
    if (answer.status === 404) return undefined;
    if (answer.status === 401 || answer.status === 403) this.#token = undefined;
    if (answer.status !== 200) throw refused(path, answer);
    return answer.body;
  }

  async #sessionToken(signal: AbortSignal): Promise<string> {
    const now = this.#clock.now();
    if (this.#token !== undefined && this.#token.endsAt > now) return this.#token.value;
    const lifetime = { 'x-aliyun-ecs-metadata-token-ttl-seconds': String(tokenLifetime) };
    const answer = await this.#exchange('PUT', '/latest/api/token', signal, lifetime);
    const value = answer.body.trim();
    if (answer.status !== 200 || !/^[\x21-\x7e]{1,4096}$/.test(value)) throw refused('api/token', answer);
    // A tenth less than asked for: a token never ends on its way.
    this.#token = { value, endsAt: now + tokenLifetime * 900 };
    return value;
  }

  #exchange(
    method: 'GET' | 'PUT',
    path: string,
    signal: AbortSignal,
    headers: Readonly<Record<string, string>>,
  ): Promise<HttpAnswer> {
    return this.#send({ method, url: new URL(path, this.#origin), headers, signal, deadlineMs });
  }
}

function refused(path: string, { status }: HttpAnswer): TransientError {
  return new TransientError('unavailable', `ECS metadata, ${path}: ${status}`, { status });
}
