/** A request as it came over the wire. */
export interface WireRequest {
  readonly method: string;
  /** Path and query, as sent. */
  readonly target: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
}

export interface WireAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** An ACR Enterprise Edition instance. */
export interface FakeInstance {
  readonly account: string;
  readonly vpc?: { readonly domains: readonly string[]; readonly linkedVpcs: readonly string[] };
  readonly internet?: { readonly domains: readonly string[]; readonly enable: boolean };
  /** What GetAuthorizationToken hands out. */
  readonly login?: { readonly username: string; readonly password: string };
}

/** A RAM user with an AccessKey. */
export interface FakeUser {
  readonly account: string;
  readonly secret: string;
  /** `cr:ListInstanceEndpoint`, `sts:AssumeRole`, … */
  readonly actions: readonly string[];
}

export interface FakeRole {
  readonly account: string;
  readonly actions: readonly string[];
  /** Maximum session duration in seconds. */
  readonly maxSeconds: number;
  /** ARNs of roles that may assume it. */
  readonly trustsRoles?: readonly string[];
  /** Subjects of service account tokens that may. */
  readonly trustsSubjects?: readonly string[];
}

/** What there is in the cloud. */
export interface FakeCloudState {
  readonly region: string;
  /** By ID. */
  readonly instances: Readonly<Record<string, FakeInstance>>;
  /** By AccessKey ID. */
  readonly users: Readonly<Record<string, FakeUser>>;
  /** By ARN. */
  readonly roles: Readonly<Record<string, FakeRole>>;
  /** The cluster's OIDC provider; PEM of the key that its tokens are checked with. */
  readonly oidc?: { readonly providerArn: string; readonly issuer: string; readonly publicKey: string };
  /** The ECS instance that the metadata service is asked from. */
  readonly node?: { readonly region: string; readonly vpcId: string; readonly roleArn?: string };
}

/** A call that was answered. */
export interface CloudCall {
  readonly action: string;
  /** Who signed it, by AccessKey ID; undefined for nobody. */
  readonly keyId: string | undefined;
  readonly host: string;
  readonly status: number;
  /** The error's code; empty for a success. */
  readonly code: string;
}

/** How a call goes wrong. `hang`: no answer, until the server closes. */
export type Trouble = 'throttle' | 'unavailable' | 'proxy-page' | 'not-json' | 'wrong-shape' | 'hang' | 'reset';
