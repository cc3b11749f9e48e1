import { z } from 'zod';
import type { Api } from './api.ts';
import type { AccessKey } from './signature.ts';

/** Credentials that end. */
export interface TemporaryKey {
  readonly key: AccessKey;
  /** Milliseconds since 1970, by Alibaba Cloud's clock. */
  readonly expiresAt: number;
}

/** What STS and the metadata service call temporary credentials. */
export const temporaryKey = z
  .object({
    AccessKeyId: z.string().min(1).max(512),
    AccessKeySecret: z.string().min(1).max(4096),
    SecurityToken: z.string().min(1).max(16_384),
    Expiration: z.string(),
  })
  .transform(({ AccessKeyId: id, AccessKeySecret: secret, SecurityToken: securityToken, Expiration }, context) => {
    const expiresAt = Date.parse(Expiration);
    if (Number.isNaN(expiresAt)) context.addIssue({ code: 'custom', message: 'Expiration is no date' });
    return { key: { id, secret, securityToken }, expiresAt };
  });

const assumed = z.object({ Credentials: temporaryKey });

const version = '2015-04-01';

export interface AssumeRole {
  readonly roleArn: string;
  /** Who it was, in the audit log of the role's account. */
  readonly sessionName: string;
  /** Seconds; not more than the role's maximum session duration. */
  readonly durationSeconds: number;
}

/** Security Token Service. */
export class Sts {
  readonly #api: Api;
  readonly #origins: (signal: AbortSignal) => Promise<readonly string[]>;

  constructor(api: Api, origins: (signal: AbortSignal) => Promise<readonly string[]>) {
    this.#api = api;
    this.#origins = origins;
  }

  /** A role's credentials for whoever signs with `key`. Rejects like `Api.call`. */
  async assumeRole(role: AssumeRole, key: AccessKey, signal: AbortSignal): Promise<TemporaryKey> {
    const origins = await this.#origins(signal);
    const call = { origins, action: 'AssumeRole', version, key, answer: assumed };
    return (await this.#api.call({ ...call, parameters: parametersOf(role) }, signal)).Credentials;
  }

  /** A role's credentials for a service account's token. The token is all the proof: the call isn't signed. */
  async assumeRoleWithOidc(
    role: AssumeRole,
    proof: { readonly providerArn: string; readonly token: string },
    signal: AbortSignal,
  ): Promise<TemporaryKey> {
    const call = {
      origins: await this.#origins(signal),
      action: 'AssumeRoleWithOIDC',
      version,
      key: undefined,
      answer: assumed,
      parameters: { ...parametersOf(role), OIDCProviderArn: proof.providerArn, OIDCToken: proof.token },
      secrets: [proof.token],
    };
    return (await this.#api.call(call, signal)).Credentials;
  }
}

function parametersOf({ roleArn, sessionName, durationSeconds }: AssumeRole): Record<string, string> {
  return { RoleArn: roleArn, RoleSessionName: sessionName, DurationSeconds: String(durationSeconds) };
}
