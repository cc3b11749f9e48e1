import { randomBytes, randomUUID } from 'node:crypto';
import { checkToken } from './oidc-token.ts';
import { readSignature } from './signature.ts';
import type { CloudCall, FakeCloudState, WireAnswer, WireRequest } from './types.ts';

/** Minutes that a signature's date may be off. */
const datePatience = 15 * 60_000;

/** Whoever a call is made by: a user, or a role's session. */
interface Principal {
  readonly account: string;
  readonly actions: readonly string[];
  readonly roleArn?: string;
}

interface Session extends Principal {
  readonly secret: string;
  readonly token: string;
  readonly expiresAt: number;
}

class CloudError extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/**
 * Alibaba Cloud as far as ACR and STS go: users, roles, sessions with an end, rights, instances. It believes only what is signed, or
 * proven by a service account's token.
 */
export class FakeCloud {
  readonly calls: CloudCall[] = [];
  /** May be replaced while it runs: rights taken away, endpoints switched off. */
  state: FakeCloudState;
  /** Milliseconds that the cloud's clock is ahead of this machine's. */
  clockAhead = 0;
  readonly #sessions = new Map<string, Session>();
  readonly #nonces = new Set<string>();

  constructor(state: FakeCloudState) {
    this.state = state;
  }

  now(): number {
    return Date.now() + this.clockAhead;
  }

  /** Every session ends at once. */
  expireSessions(): void {
    for (const [id, session] of this.#sessions) this.#sessions.set(id, { ...session, expiresAt: 0 });
  }

  answer(request: WireRequest, host: string): WireAnswer {
    const { action, keyId } = nameOf(request);
    try {
      const body = this.#carryOut(request);
      this.calls.push({ action, keyId, host, status: 200, code: '' });
      return json(200, { RequestId: requestId(), ...body });
    } catch (error) {
      if (!(error instanceof CloudError)) throw error;
      const { status, code, message } = error;
      this.calls.push({ action, keyId, host, status, code });
      return json(status, { RequestId: requestId(), HostId: host, Code: code, Message: message, IsSuccess: false });
    }
  }

  /** A new session of a role. */
  openSession(roleArn: string, seconds: number): object {
    const role = this.state.roles[roleArn];
    if (role === undefined) throw new CloudError(404, 'EntityNotExist.Role', 'The specified Role not exists.');
    const id = `STS.${randomBytes(8).toString('hex')}`;
    const session: Session = {
      account: role.account,
      actions: role.actions,
      roleArn,
      secret: randomBytes(16).toString('base64url'),
      token: randomBytes(200).toString('base64'),
      expiresAt: this.now() + seconds * 1000,
    };
    this.#sessions.set(id, session);
    return {
      AccessKeyId: id,
      AccessKeySecret: session.secret,
      SecurityToken: session.token,
      Expiration: new Date(session.expiresAt).toISOString().replace(/\.\d+Z$/, 'Z'),
    };
  }

  #carryOut(request: WireRequest): object {
    const { action, version, parameters } = nameOf(request);
    if (request.method !== 'POST') throw new CloudError(405, 'UnsupportedHTTPMethod', 'POST it.');
    if (action === 'AssumeRoleWithOIDC') return this.#assumeRoleWithOidc(version, parameters);
    const principal = this.#authenticate(request);
    if (action === 'AssumeRole') return this.#assumeRole(version, parameters, principal);
    return this.#ofInstance(action, version, parameters, principal);
  }

  #authenticate(request: WireRequest): Principal {
    const signed = readSignature(request);
    if (signed === undefined) throw new CloudError(400, 'IncompleteSignature', 'The signature is incomplete.');
    if (Math.abs(signed.date - this.now()) > datePatience) {
      throw new CloudError(400, 'InvalidTimeStamp.Expired', 'Specified time stamp or date value is expired.');
    }
    const session = this.#sessions.get(signed.keyId);
    const principal = session ?? this.state.users[signed.keyId];
    if (principal === undefined) {
      throw new CloudError(404, 'InvalidAccessKeyId.NotFound', 'Specified access key is not found.');
    }
    if (!signed.matches(principal.secret)) {
      const message = `Specified signature does not match our calculation for token ${signed.token}.`;
      throw new CloudError(400, 'SignatureDoesNotMatch', message);
    }
    if (this.#nonces.has(signed.nonce)) throw new CloudError(400, 'SignatureNonceUsed', 'The nonce was used already.');
    this.#nonces.add(signed.nonce);
    if (signed.token !== session?.token) {
      throw new CloudError(400, 'InvalidSecurityToken.MismatchWithAccessKey', 'The token does not belong to the key.');
    }
    if (session !== undefined && session.expiresAt <= this.now()) {
      throw new CloudError(400, 'InvalidSecurityToken.Expired', 'Specified SecurityToken is expired.');
    }
    return principal;
  }

  #assumeRoleWithOidc(version: string, parameters: URLSearchParams): object {
    expectVersion(version, '2015-04-01');
    const { oidc, roles } = this.state;
    if (oidc === undefined || parameters.get('OIDCProviderArn') !== oidc.providerArn) {
      throw new CloudError(404, 'EntityNotExist.OIDCProvider', 'The OIDC provider does not exist.');
    }
    const checked = checkToken(parameters.get('OIDCToken') ?? '', oidc, this.now());
    if ('code' in checked) throw new CloudError(400, checked.code, 'This JsonWebToken is refused.');
    const arn = parameters.get('RoleArn') ?? '';
    if (!roles[arn]?.trustsSubjects?.includes(checked.subject)) {
      const message = 'This operation is forbidden by the trust policy of the role.';
      throw new CloudError(403, 'AuthenticationFail.NoPermission', message);
    }
    return { Credentials: this.openSession(arn, this.#duration(arn, parameters)) };
  }

  #assumeRole(version: string, parameters: URLSearchParams, principal: Principal): object {
    expectVersion(version, '2015-04-01');
    const arn = parameters.get('RoleArn') ?? '';
    const allowed = principal.actions.includes('sts:AssumeRole');
    if (!allowed || !this.state.roles[arn]?.trustsRoles?.includes(principal.roleArn ?? '')) {
      throw new CloudError(403, 'NoPermission', 'You are not authorized to do this action.');
    }
    return { Credentials: this.openSession(arn, this.#duration(arn, parameters)) };
  }

  #duration(arn: string, parameters: URLSearchParams): number {
    if (!/^[A-Za-z0-9.@_-]{2,64}$/.test(parameters.get('RoleSessionName') ?? '')) {
      throw new CloudError(400, 'InvalidParameter.RoleSessionName', 'The session name is invalid.');
    }
    const seconds = Number(parameters.get('DurationSeconds'));
    if (seconds >= 900 && seconds <= (this.state.roles[arn]?.maxSeconds ?? 0)) return seconds;
    throw new CloudError(400, 'InvalidParameter.DurationSeconds', 'Longer than the maximum session duration.');
  }

  #ofInstance(action: string, version: string, parameters: URLSearchParams, principal: Principal): object {
    expectVersion(version, '2018-12-01');
    if (!principal.actions.includes(`cr:${action}`))
      throw new CloudError(403, 'NoPrivilege', 'Access denied for this user.');
    const instance = this.state.instances[parameters.get('InstanceId') ?? ''];
    if (instance === undefined || instance.account !== principal.account) {
      throw new CloudError(404, 'INSTANCE_NOT_EXIST', 'instance is not exist');
    }
    const { vpc, internet, login } = instance;
    const success = { Code: 'success', IsSuccess: true };
    switch (action) {
      case 'GetInstanceVpcEndpoint':
        return {
          ...success,
          ModuleName: parameters.get('ModuleName'),
          Enable: vpc !== undefined,
          Domains: vpc?.domains ?? [],
          LinkedVpcs: (vpc?.linkedVpcs ?? []).map((id) => ({
            VpcId: id,
            VswitchId: 'vsw-1',
            Ip: '10.0.0.9',
            Status: 'RUNNING',
          })),
        };
      case 'ListInstanceEndpoint':
        return { ...success, Endpoints: internet === undefined ? [] : [internetEndpoint(internet)] };
      case 'GetAuthorizationToken': {
        const expires = this.now() + 3_600_000;
        return {
          ...success,
          TempUsername: login?.username,
          AuthorizationToken: login?.password,
          ExpireTime: expires,
        };
      }
      default:
        throw new CloudError(404, 'InvalidAction.NotFound', 'Specified api is not found.');
    }
  }
}

/** Action, version and parameters, from where V3 and its predecessor have them. */
function nameOf(request: WireRequest): {
  action: string;
  version: string;
  keyId: string | undefined;
  parameters: URLSearchParams;
} {
  const header = (name: string): string | undefined => request.headers.find(([key]) => key.toLowerCase() === name)?.[1];
  const query = new URL(request.target, 'http://cloud').searchParams;
  const parameters = new URLSearchParams([...query, ...new URLSearchParams(request.body)]);
  return {
    action: header('x-acs-action') ?? query.get('Action') ?? '',
    version: header('x-acs-version') ?? query.get('Version') ?? '',
    keyId: readSignature(request)?.keyId,
    parameters,
  };
}

function internetEndpoint({
  domains,
  enable,
}: {
  readonly domains: readonly string[];
  readonly enable: boolean;
}): object {
  return {
    EndpointType: 'internet',
    Enable: enable,
    Status: 'RUNNING',
    AclEnable: true,
    Domains: domains.map((Domain) => ({ Type: 'SYSTEM', Domain })),
    LinkedVpcs: [{ VpcId: 'null' }],
    AclEntries: [{ Entry: 'null' }],
  };
}

function expectVersion(version: string, expected: string): void {
  if (version !== expected) throw new CloudError(400, 'InvalidVersion', 'Specified parameter Version is not valid.');
}

export function json(status: number, body: object): WireAnswer {
  return { status, type: 'application/json;charset=utf-8', body: JSON.stringify(body) };
}

function requestId(): string {
  return randomUUID().toUpperCase();
}
