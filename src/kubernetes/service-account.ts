import path from 'node:path';
import type { Access, AccessSource } from './access.ts';
import { readCredentialFile, readTokenFile } from './read-file.ts';
import { KubernetesError } from './types.ts';

/** Where the kubelet projects a pod's service account (kubernetes.io, "Accessing the API from a Pod"). */
const projectedFolder = '/var/run/secrets/kubernetes.io/serviceaccount';

export interface ServiceAccountOptions {
  /** Environment variables by name, as in `process.env`. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Folder with `token` and `ca.crt`; the projected one by default. */
  readonly folder?: string | undefined;
}

/** The pod's own service account. The token is read anew for every request: the kubelet replaces it within the hour. */
export function serviceAccountAccess(options: ServiceAccountOptions): AccessSource {
  const folder = options.folder ?? projectedFolder;
  return async (): Promise<Access> => {
    const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = options.environment;
    if (!host || !port) {
      const mend = 'outside of a pod, name a kubeconfig file';
      const missing = 'KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set';
      throw new KubernetesError('configuration', `no Kubernetes service account: ${missing}; ${mend}`);
    }
    const [ca, token] = await Promise.all([
      readCredentialFile('the CA of the service account', path.join(folder, 'ca.crt')),
      readTokenFile(path.join(folder, 'token')),
    ]);
    const server = URL.parse(`https://${host.includes(':') ? `[${host}]` : host}:${port}`);
    if (server === null) {
      const text = 'KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not a host and a port';
      throw new KubernetesError('configuration', text);
    }
    return { server, ca, certificate: undefined, key: undefined, serverName: undefined, insecure: false, token };
  };
}
