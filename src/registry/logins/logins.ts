import type { LoginSource, Logins } from './types.ts';

/** Asks the sources in order; the first one that has a login for the registry counts. */
export function createLogins(sources: readonly LoginSource[]): Logins {
  return {
    async credentialsFor(registry, options = {}) {
      for (const source of sources) {
        const credentials = await source.credentialsFor(registry, options);
        if (credentials !== undefined) return credentials;
      }
      return { kind: 'anonymous' };
    },
  };
}
