import type { LoginSource } from '../registry/logins/types.ts';
import { RegistryError } from '../registry/types.ts';
import { untilAborted } from '../until-aborted.ts';
import { AcrError } from './errors.ts';
import type { TemporaryLogin } from './instance-api.ts';
import type { ServerTime } from './server-time.ts';

/** Seconds before its end that a login is replaced; it lives for an hour, or as long as the STS credentials that asked for it. */
const renewalMargin = 300;
/** Milliseconds: more than all the tries of the calls that a login takes. */
const loginDeadlineMs = 180_000;

export interface AcrLoginOptions {
  readonly instanceOf: (registry: string) => string | undefined;
  readonly login: (id: string, signal: AbortSignal) => Promise<TemporaryLogin>;
  readonly time: ServerTime;
}

/** ACR's temporary logins (GetAuthorizationToken) for the hosts of the configured instances. */
export class AcrLogin implements LoginSource {
  readonly #options: AcrLoginOptions;
  readonly #logins = new Map<string, TemporaryLogin>();
  readonly #pending = new Map<string, Promise<TemporaryLogin>>();

  constructor(options: AcrLoginOptions) {
    this.#options = options;
  }

  async credentialsFor(registry: string, { signal }: { readonly signal?: AbortSignal }) {
    const id = this.#options.instanceOf(registry);
    if (id === undefined) return undefined;
    try {
      const { username, password } = await untilAborted(this.#login(id), signal);
      return { kind: 'basic' as const, username, password };
    } catch (error) {
      if (!(error instanceof AcrError)) throw error;
      const kind = error.kind === 'unavailable' ? 'unavailable' : 'unauthorized';
      throw new RegistryError(kind, `no temporary login for ${registry}: ${error.message}`, { cause: error });
    }
  }

  /** One request an instance, whoever waits for it. */
  #login(id: string): Promise<TemporaryLogin> {
    const known = this.#logins.get(id);
    if (known !== undefined && known.expiresAt - this.#options.time.now() > renewalMargin * 1000) {
      return Promise.resolve(known);
    }
    let pending = this.#pending.get(id);
    if (pending === undefined) {
      pending = this.#options
        .login(id, AbortSignal.timeout(loginDeadlineMs))
        .then((login) => {
          this.#logins.set(id, login);
          return login;
        })
        .finally(() => this.#pending.delete(id));
      this.#pending.set(id, pending);
    }
    return pending;
  }
}
