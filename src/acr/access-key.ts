import { AcrError } from './errors.ts';
import type { KeySource } from './key-source.ts';
import { readSecret } from './secret-file.ts';

/** Files are read for every use: a Secret that is mounted changes when the AccessKey is rotated. */
export function fileKey(files: {
  readonly id: string;
  readonly secret: string;
  readonly token?: string | undefined;
}): KeySource {
  return {
    async key() {
      const [id, secret, securityToken] = await Promise.all([
        readSecret('accessKeyFile', files.id),
        readSecret('accessKeySecretFile', files.secret),
        files.token === undefined ? undefined : readSecret('securityTokenFile', files.token),
      ]);
      return { id, secret, securityToken };
    },
    expired: () => undefined,
  };
}

/** The AccessKey in the environment; undefined when there is none. Half a pair gives no key, but an `AcrError`. */
export function environmentKey(environment: Readonly<Record<string, string | undefined>>): KeySource | undefined {
  const id = environment.ALIBABA_CLOUD_ACCESS_KEY_ID;
  const secret = environment.ALIBABA_CLOUD_ACCESS_KEY_SECRET;
  if (!id && !secret) return undefined;
  if (!id || !secret) {
    const missing = id ? 'ALIBABA_CLOUD_ACCESS_KEY_SECRET' : 'ALIBABA_CLOUD_ACCESS_KEY_ID';
    const message = `environment variable ${missing} is missing beside the other half of its pair`;
    return { key: () => Promise.reject(new AcrError('credentials', message)), expired: () => undefined };
  }
  const key = { id, secret, securityToken: environment.ALIBABA_CLOUD_SECURITY_TOKEN || undefined };
  return { key: async () => key, expired: () => undefined };
}
