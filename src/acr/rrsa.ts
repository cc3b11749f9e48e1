import { hostname } from 'node:os';
import type { Logger } from '../telemetry/log.ts';
import { AcrError } from './errors.ts';
import type { KeySource } from './key-source.ts';
import { Renewed } from './renewed.ts';
import { readSecret } from './secret-file.ts';
import type { ServerTime } from './server-time.ts';
import type { AssumeRole, Sts } from './sts.ts';

export interface RrsaOptions {
  readonly roleArn: string;
  readonly providerArn: string;
  readonly tokenFile: string;
  /** The role in another account, and the seconds that it is assumed for. */
  readonly chained?: { readonly roleArn: string; readonly durationSeconds: number } | undefined;
}

/** The default of AssumeRoleWithOIDC, which every role's maximum session duration allows. */
const oidcSessionSeconds = 3600;

/** A role for the service account whose token is in a file; through it a role of another account, if that is asked for. */
export function rrsa(options: RrsaOptions, sts: Sts, time: ServerTime, log: Logger): KeySource {
  const sessionName = sessionNameOf(hostname());
  const own = new Renewed(
    async (signal) => {
      const token = await readSecret('rrsa.tokenFile', options.tokenFile);
      const role: AssumeRole = { roleArn: options.roleArn, sessionName, durationSeconds: oidcSessionSeconds };
      return sts.assumeRoleWithOidc(role, { providerArn: options.providerArn, token }, signal);
    },
    time,
    log,
  );
  const { chained } = options;
  if (chained === undefined) return own;
  return new Renewed(
    async (signal) => {
      const role = { ...chained, sessionName };
      try {
        return await sts.assumeRole(role, await own.key(signal), signal);
      } catch (error) {
        if (!(error instanceof AcrError) || error.kind !== 'expired') throw error;
        own.expired();
        return sts.assumeRole(role, await own.key(signal), signal);
      }
    },
    time,
    log,
  );
}

/** STS allows letters, digits and `.@-_`, 2 to 64 of them. */
function sessionNameOf(host: string): string {
  return `shoal-${host.replace(/[^A-Za-z0-9.@_-]/g, '-')}`.slice(0, 64);
}
