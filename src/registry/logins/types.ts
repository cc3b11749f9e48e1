import type { Credentials } from '../types.ts';

export interface LoginOptions {
  /** For logins that hold for a part of a registry only. */
  readonly repository?: string;
  readonly signal?: AbortSignal;
}

/** Credentials for pulls that no pod's secret comes with: of the mirror role, of the node itself, of preheating. */
export interface Logins {
  /**
   * Anonymous where nothing is configured for the registry (`host[:port]`, canonical). Rejects with a `RegistryError` of kind
   * `unauthorized` or `unavailable` when a login is configured but can't be had; never carries a secret.
   */
  credentialsFor(registry: string, options?: LoginOptions): Promise<Credentials>;
}

/** One place that logins come from; undefined: it has none for the registry. */
export interface LoginSource {
  credentialsFor(registry: string, options: LoginOptions): Promise<Credentials | undefined>;
}
