import type { Clock } from '../clock.ts';
import type { TraceHeaders } from '../telemetry/trace-context.ts';
import { refusalError, SuccessGate } from './answer.ts';
import { Authorizer } from './authorizer.ts';
import { parseChallenges } from './challenge.ts';
import type { Connections } from './dispatcher.ts';
import { type RegistryHosts, registryOrigin } from './endpoint.ts';
import { exchange, type HttpReader, type HttpRequest } from './exchange.ts';
import { describeRequest } from './failure.ts';
import { type Detour, followRedirects } from './redirect.ts';
import { parseRegistry, parseRepository } from './reference.ts';
import { fetchToken } from './token.ts';
import { inTrace } from './tunnel-pool.ts';
import { type Credentials, RegistryError, type Repository } from './types.ts';

export interface Question {
  readonly method: 'GET' | 'HEAD';
  readonly repository: Repository;
  /** Behind `/v2/<repository>/`; its parts are checked. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly credentials: Credentials;
  readonly signal: AbortSignal | undefined;
  /** Milliseconds for one try, redirects not included. */
  readonly deadlineMs?: number;
  /** Whether the path names the content by its digest. */
  readonly immutable: boolean;
  /** The trace that it belongs to. */
  readonly trace: TraceHeaders | undefined;
}

export interface OriginOptions {
  readonly hosts: RegistryHosts;
  readonly connections: Connections;
  readonly clock: Clock;
  /** For redirects of content that is named by its digest. */
  readonly detour?: Detour | undefined;
  /** Registries that are told of the trace, by host[:port]. */
  readonly tracing?: readonly string[] | undefined;
}

/** One try of a request to a registry: authentication and redirects, up to a success or an error. */
export class Origin {
  readonly #hosts: RegistryHosts;
  readonly #connections: Connections;
  readonly #authorizer: Authorizer;
  readonly #detour: Detour | undefined;
  readonly #tracing: ReadonlySet<string>;

  constructor({ hosts, connections, clock, detour, tracing = [] }: OriginOptions) {
    this.#hosts = hosts;
    this.#detour = detour;
    this.#tracing = new Set(tracing.map((host) => host.toLowerCase()));
    this.#connections = connections;
    this.#authorizer = new Authorizer(
      (request) => fetchToken((http, reader) => this.#send(request.repository, http, reader), request),
      clock.now,
    );
  }

  /**
   * Asks, and gives the 2xx answer to the reader. Rejects with a `RegistryError`, with the signal's reason, or with
   * what the reader threw.
   */
  ask(question: Question, reader: HttpReader): Promise<void> {
    return inTrace(question.trace, () => this.#ask(question, reader));
  }

  async #ask(question: Question, reader: HttpReader): Promise<void> {
    const { credentials, signal } = question;
    const repository = {
      registry: parseRegistry(question.repository.registry),
      repository: parseRepository(question.repository.repository),
    };
    const origin = registryOrigin(repository.registry, this.#hosts);
    const url = new URL(`${origin}/v2/${repository.repository}/${question.path}`);
    const trace = this.#tracing.has(repository.registry.toLowerCase()) ? question.trace : undefined;
    let authorization = this.#authorizer.current(repository, credentials);
    for (let answered = false; ; answered = true) {
      const gate = new SuccessGate(reader);
      const request: HttpRequest = {
        method: question.method,
        url,
        headers: { ...question.headers, ...trace, ...(authorization !== undefined && { authorization }) },
        signal,
        ...(question.deadlineMs !== undefined && { deadlineMs: question.deadlineMs }),
      };
      const send = (http: HttpRequest, gated: HttpReader) => this.#send(repository, http, gated);
      const last = await followRedirects(send, request, gate, {
        allowDowngrade: question.immutable,
        detour: question.immutable ? this.#detour : undefined,
      });
      if (gate.refusal === undefined) return;
      // Credentials are the registry's: another origin that asks for some gets none.
      if (gate.refusal.status !== 401 || last.url.origin !== url.origin) throw refusalError(last, gate.refusal);
      if (answered) {
        this.#authorizer.forget(repository, credentials);
        throw insufficient(refusalError(last, gate.refusal), credentials);
      }
      const unauthorized = {
        challenges: parseChallenges(gate.refusal.headers['www-authenticate']),
        refused: authorization,
        request: describeRequest(last.method, last.url),
        plainHttp: url.protocol === 'http:',
      };
      authorization = await this.#authorizer.answer(repository, credentials, unauthorized, signal);
    }
  }

  #send(repository: Repository, request: HttpRequest, reader: HttpReader): Promise<void> {
    return exchange(this.#connections.dispatcherFor(request.url, repository.registry), request, reader);
  }
}

/** The registry asked, was answered as it wanted, and refused the answer. */
function insufficient(refusal: RegistryError, credentials: Credentials): RegistryError {
  const cause =
    credentials.kind === 'anonymous'
      ? 'not for everyone to pull; is an image pull secret missing?'
      : 'the registry refused the credentials, or they have no right to pull this';
  return new RegistryError('unauthorized', `${refusal.message}; ${cause}`, { status: 401 });
}
