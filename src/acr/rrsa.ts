import { hostname } from 'node:os';
import type { Logger } from '../telemetry/log.ts';
import { AcrError } from './errors.ts';
import type { KeySource } from './key-source.ts';
import { Renewed } from './renewed.ts';
import { readSecret } from './secret-file.ts';
import type { ServerTime } from './server-time.ts';
import type { AssumeRole, Sts, TemporaryKey } from './sts.ts';

export interface RrsaOptions {
  readonly roleArn: string;
  readonly providerArn: string;
  readonly tokenFile: string;
  /** The role in another account, and the seconds that it is assumed for. */
  readonly chained?: { readonly roleArn: string; readonly durationSeconds: number };
}

/** The default of AssumeRoleWithOIDC, which every role's maximum session duration allows. */
const oidcSessionSeconds = 3600;

/** A role for the service account whose token is in a file; through it a role of another account, if that is asked for. */
export function rrsa(options: RrsaOptions, sts: Sts, time: ServerTime, log: Logger): KeySource {
  const sessionName = sessionNameOf(hostname());
  const own = new Renewed((signal) => ownRole(options, sts, sessionName, signal), time, log);
  const { chained } = options;
  if (chained === undefined) return own;
  return new Renewed((signal) => otherRole({ ...chained, sessionName }, own, sts, signal), time, log);
}

async function ownRole(
  { roleArn, providerArn, tokenFile }: RrsaOptions,
  sts: Sts,
  sessionName: string,
  signal: AbortSignal,
): Promise<TemporaryKey> {
  const token = await readSecret('rrsa.tokenFile', tokenFile);
  const role: AssumeRole = { roleArn, sessionName, durationSeconds: oidcSessionSeconds };
  try {
    return await sts.assumeRoleWithOidc(role, { providerArn, token }, signal);
  } catch (error) {
    throw withMend(error, {
      expired: `the token in ${tokenFile} is old: does what puts it there still run?`,
      denied: "does the trust policy of rrsa.rrsaRoleARN name the cluster's issuer and this service account?",
      credentials: 'are rrsa.rrsaRoleARN and rrsa.rrsaOIDCProviderRoleARN right, and is the token of this cluster?',
    });
  }
}

async function otherRole(role: AssumeRole, own: KeySource, sts: Sts, signal: AbortSignal): Promise<TemporaryKey> {
  const assume = async () => sts.assumeRole(role, await own.key(signal), signal);
  try {
    return await assume().catch((error: unknown) => {
      if (!(error instanceof AcrError) || error.kind !== 'expired') throw error;
      own.expired();
      return assume();
    });
  } catch (error) {
    throw withMend(error, {
      denied: "rrsa.rrsaRoleARN needs AliyunSTSAssumeRoleAccess, and rrsa.assumeRoleARN's trust policy must name it",
      invalid: `is rrsa.expireDuration (${role.durationSeconds}) more than the role's maximum session duration?`,
    });
  }
}

function withMend(error: unknown, mends: Partial<Record<AcrError['kind'], string>>): unknown {
  if (!(error instanceof AcrError)) return error;
  const mend = mends[error.kind];
  if (mend === undefined) return error;
  // `expired` means to a caller that a new key may do; there is none to be had here.
  const kind = error.kind === 'expired' ? 'credentials' : error.kind;
  return new AcrError(kind, `${error.message}; ${mend}`, error);
}

/** STS allows letters, digits and `.@-_`, 2 to 64 of them. */
function sessionNameOf(host: string): string {
  return `shoal-${host.replace(/[^A-Za-z0-9.@_-]/g, '-')}`.slice(0, 64);
}
