import path from 'node:path';
import { createKubernetesClient } from '../kubernetes/client.ts';
import { kubeconfigAccess } from '../kubernetes/kubeconfig.ts';
import { serviceAccountAccess } from '../kubernetes/service-account.ts';
import type { KubernetesEditor } from '../kubernetes/types.ts';

/** The cluster's API, by a kubeconfig file, or as the pod's service account. */
export function createClient(kubeconfig: string | undefined): KubernetesEditor {
  return createKubernetesClient(
    kubeconfig === undefined
      ? serviceAccountAccess({ environment: process.env })
      : kubeconfigAccess({ file: path.resolve(kubeconfig) }),
  );
}
