import type { Config } from '../config/schema.ts';
import type { AccessSource } from '../kubernetes/access.ts';
import { kubeconfigAccess } from '../kubernetes/kubeconfig.ts';
import { serviceAccountAccess } from '../kubernetes/service-account.ts';

/** The way to the Kubernetes API, for all but the membership, which may have one of its own. */
export function kubernetesAccess({ kubernetes, p2p }: Config): AccessSource {
  const file = kubernetes.kubeconfig ?? p2p.membership.kubernetes.kubeconfig;
  return file === undefined ? serviceAccountAccess({ environment: process.env }) : kubeconfigAccess({ file });
}
