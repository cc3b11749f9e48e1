import { z } from 'zod';
import type { Api } from './api.ts';
import { endpointList, type InstanceEndpoints, internetHosts, vpcEndpoint, vpcHosts } from './endpoints.ts';
import { AcrError } from './errors.ts';
import type { KeySource } from './key-source.ts';
import type { Region } from './place.ts';

/** Product cr of Alibaba Cloud's OpenAPI: ACR Enterprise Edition. */
const version = '2018-12-01';

const authorization = z.object({
  TempUsername: z.string().min(1).max(512),
  AuthorizationToken: z.string().min(1).max(16_384),
  /** Milliseconds since 1970. */
  ExpireTime: z.number(),
});

/** A name and a password for one instance's registry. */
export interface TemporaryLogin {
  readonly username: string;
  readonly password: string;
  /** Milliseconds since 1970, by Alibaba Cloud's clock. */
  readonly expiresAt: number;
}

/** ACR's actions, each about one instance (`cri-…`). All of them reject with an `AcrError`. */
export class InstanceApi {
  readonly #api: Api;
  readonly #keys: KeySource;

  constructor(api: Api, keys: KeySource) {
    this.#api = api;
    this.#keys = keys;
  }

  /** Needs cr:GetInstanceVpcEndpoint. */
  async vpcEndpoint(
    region: Region,
    id: string,
    vpcId: string | undefined,
    signal: AbortSignal,
  ): Promise<InstanceEndpoints> {
    return vpcHosts(id, await this.#call(region, 'GetInstanceVpcEndpoint', id, vpcEndpoint, signal), vpcId);
  }

  /** Needs cr:ListInstanceEndpoint. */
  async internetEndpoint(region: Region, id: string, signal: AbortSignal): Promise<InstanceEndpoints> {
    return internetHosts(id, await this.#call(region, 'ListInstanceEndpoint', id, endpointList, signal));
  }

  /** Needs cr:GetAuthorizationToken; the login may pull what the caller may (cr:PullRepository). */
  async login(region: Region, id: string, signal: AbortSignal): Promise<TemporaryLogin> {
    const answer = await this.#call(region, 'GetAuthorizationToken', id, authorization, signal);
    return { username: answer.TempUsername, password: answer.AuthorizationToken, expiresAt: answer.ExpireTime };
  }

  async #call<T>(region: Region, action: string, id: string, answer: z.ZodType<T>, signal: AbortSignal): Promise<T> {
    const registry = action === 'GetAuthorizationToken' ? {} : { ModuleName: 'Registry' };
    const parameters = { InstanceId: id, ...registry };
    const call = { origins: region.origins, action, version, parameters, answer };
    const ask = async () => {
      const key = await this.#keys.key(signal);
      return this.#api.call({ ...call, key }, signal).catch((error: unknown) => {
        throw error instanceof AcrError ? withMend(error, region, action, id) : error;
      });
    };
    return ask().catch((error: unknown) => {
      if (!(error instanceof AcrError) || error.kind !== 'expired') throw error;
      // Once more, with new credentials: these were revoked, or the clock was off.
      this.#keys.expired();
      return ask();
    });
  }
}

/** What an operator can do about it. */
function withMend(error: AcrError, region: Region, action: string, id: string): AcrError {
  const mend = mendOf(error, region, action, id);
  return mend === undefined ? error : new AcrError(error.kind, `${error.message}; ${mend}`, error);
}

function mendOf({ kind }: AcrError, { name, from }: Region, action: string, id: string): string | undefined {
  switch (kind) {
    case 'unknown-instance':
      return `is ${id} the instance's ID, and ${name} (${from}) its region? Another region is set with \`region\`, another account's instance needs that account's credentials`;
    case 'denied':
      return `the RAM user or role lacks the permission cr:${action}; docs/acr.md has the policy to attach`;
    case 'credentials':
      return 'Alibaba Cloud does not take these credentials: is the AccessKey (still) active, and its secret the right one?';
    case 'expired':
      return 'temporary credentials have ended; an AccessKey with an STS token has to be replaced by whoever made it';
    case 'wrong-region':
      return `the region asked is ${name} (${from})`;
    default:
      return undefined;
  }
}
