import { untilAborted } from '../until-aborted.ts';
import type { Challenge } from './challenge.ts';
import { basicAuthorization, credentialsKey } from './credentials.ts';
import type { Token, TokenRequest } from './token.ts';
import { type Credentials, RegistryError, type Repository } from './types.ts';

/** A registry's 401. */
export interface Unauthorized {
  readonly challenges: readonly Challenge[];
  /** The `Authorization` value that it refused, undefined when none was sent. */
  readonly refused: string | undefined;
  /** For messages. */
  readonly request: string;
  /** Whether the registry itself is spoken to over plain http. */
  readonly plainHttp: boolean;
}

interface Grant {
  readonly authorization: string;
  /** Monotonic milliseconds. */
  readonly expiresAt: number;
}

/** Repositories times credentials that one node has in use; the least recently granted are forgotten first. */
const maxGrants = 4096;

/**
 * Knows which `Authorization` a repository accepts for which credentials: nothing until the registry has asked,
 * then what it asked for, until it expires. Concurrent requests share one token request.
 */
export class Authorizer {
  readonly #fetchToken: (request: TokenRequest) => Promise<Token>;
  readonly #now: () => number;
  readonly #grants = new Map<string, Grant>();
  readonly #pending = new Map<string, Promise<Grant>>();

  /** `now`: monotonic milliseconds. */
  constructor(fetchToken: (request: TokenRequest) => Promise<Token>, now: () => number) {
    this.#fetchToken = fetchToken;
    this.#now = now;
  }

  /** The header's value to send unasked, undefined for none. */
  current(repository: Repository, credentials: Credentials): string | undefined {
    if (credentials.kind === 'authorization') return credentials.header;
    if (credentials.kind === 'registry-token') return `Bearer ${credentials.token}`;
    const grant = this.#grants.get(grantKey(repository, credentials));
    return grant !== undefined && grant.expiresAt > this.#now() ? grant.authorization : undefined;
  }

  /**
   * The header's value to try once more with after a 401. Rejects with a `RegistryError` of kind `unauthorized` when
   * these credentials have no better answer, or as the token server did.
   */
  async answer(
    repository: Repository,
    credentials: Credentials,
    unauthorized: Unauthorized,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const { request, refused, challenges } = unauthorized;
    if (credentials.kind === 'authorization' || credentials.kind === 'registry-token') {
      throw refusal(request, 'the registry refused the token or header that came with the pull');
    }
    // Another request may have got a fresh one since this one was sent.
    const known = this.current(repository, credentials);
    if (known !== undefined && known !== refused) return known;

    const key = grantKey(repository, credentials);
    // A token says less about the user than a password: preferred where the registry takes both.
    const bearer = challenges.find(({ scheme, parameters }) => scheme === 'bearer' && parameters.has('realm'));
    if (bearer !== undefined) {
      return this.#shareToken(key, { challenge: bearer, repository, credentials, ...unauthorized }, signal);
    }
    if (!challenges.some(({ scheme }) => scheme === 'basic')) {
      throw refusal(request, 'the registry asks for no kind of authentication that is known here (Basic, Bearer)');
    }
    if (credentials.kind === 'anonymous') {
      throw refusal(request, 'the registry asks for a name and a password; is an image pull secret missing?');
    }
    if (credentials.kind === 'identity-token') {
      throw refusal(request, 'the registry takes a name and a password only, the pull came with an identity token');
    }
    const authorization = basicAuthorization(credentials.username, credentials.password);
    if (authorization === refused) {
      this.forget(repository, credentials);
      throw refusal(request, 'the registry refused the name and password');
    }
    this.#remember(key, { authorization, expiresAt: Number.POSITIVE_INFINITY });
    return authorization;
  }

  /** What was granted turned out not to be enough. */
  forget(repository: Repository, credentials: Credentials): void {
    this.#grants.delete(grantKey(repository, credentials));
  }

  async #shareToken(key: string, request: TokenRequest, signal: AbortSignal | undefined): Promise<string> {
    let pending = this.#pending.get(key);
    if (pending === undefined) {
      const startedAt = this.#now();
      pending = this.#fetchToken(request)
        .then(({ token, lifetimeMs }) => {
          const grant = { authorization: `Bearer ${token}`, expiresAt: startedAt + lifetimeMs };
          this.#remember(key, grant);
          return grant;
        })
        .finally(() => this.#pending.delete(key));
      this.#pending.set(key, pending);
    }
    // Whoever gives up does not end the request for the others; it has a deadline of its own.
    return (await untilAborted(pending, signal)).authorization;
  }

  #remember(key: string, grant: Grant): void {
    this.#grants.delete(key);
    this.#grants.set(key, grant);
    const [oldest] = this.#grants.keys();
    if (this.#grants.size > maxGrants && oldest !== undefined) this.#grants.delete(oldest);
  }
}

function grantKey({ registry, repository }: Repository, credentials: Credentials): string {
  return `${registry}/${repository} ${credentialsKey(credentials)}`;
}

function refusal(request: string, cause: string): RegistryError {
  return new RegistryError('unauthorized', `${request}: ${cause}`, { status: 401 });
}
