import path from 'node:path';
import { packageRoot } from '../../src/paths.ts';
import type { Manifest } from './helm.ts';

/** What the validators of kubernetes-models are: made by ajv from Kubernetes' own OpenAPI document. */
interface Validator {
  (data: unknown): boolean;
  errors?: { readonly instancePath: string; readonly message?: string; readonly keyword: string }[] | null;
}

const core = 'IoK8sApiCoreV1';
/** The schema of each kind that the chart or the agent makes, by apiVersion and kind: its package and its name there. */
const schemas: Readonly<Record<string, readonly [folder: string, name: string]>> = {
  'v1 Event': ['kubernetes-models', `${core}Event`],
  'v1 ConfigMap': ['kubernetes-models', `${core}ConfigMap`],
  'v1 Secret': ['kubernetes-models', `${core}Secret`],
  'v1 Service': ['kubernetes-models', `${core}Service`],
  'v1 ServiceAccount': ['kubernetes-models', `${core}ServiceAccount`],
  'apps/v1 DaemonSet': ['kubernetes-models', 'IoK8sApiAppsV1DaemonSet'],
  'apps/v1 StatefulSet': ['kubernetes-models', 'IoK8sApiAppsV1StatefulSet'],
  'batch/v1 Job': ['kubernetes-models', 'IoK8sApiBatchV1Job'],
  'networking.k8s.io/v1 NetworkPolicy': ['kubernetes-models', 'IoK8sApiNetworkingV1NetworkPolicy'],
  'policy/v1 PodDisruptionBudget': ['kubernetes-models', 'IoK8sApiPolicyV1PodDisruptionBudget'],
  'rbac.authorization.k8s.io/v1 Role': ['kubernetes-models', 'IoK8sApiRbacV1Role'],
  'rbac.authorization.k8s.io/v1 RoleBinding': ['kubernetes-models', 'IoK8sApiRbacV1RoleBinding'],
  'rbac.authorization.k8s.io/v1 ClusterRole': ['kubernetes-models', 'IoK8sApiRbacV1ClusterRole'],
  'rbac.authorization.k8s.io/v1 ClusterRoleBinding': ['kubernetes-models', 'IoK8sApiRbacV1ClusterRoleBinding'],
  'monitoring.coreos.com/v1 ServiceMonitor': [
    '@kubernetes-models/prometheus-operator',
    'ComGithubPrometheusOperatorPrometheusOperatorPkgApisMonitoringV1ServiceMonitor',
  ],
  'cert-manager.io/v1 Certificate': [
    '@kubernetes-models/cert-manager',
    'ComGithubCertManagerCertManagerPkgApisCertmanagerV1Certificate',
  ],
  'cert-manager.io/v1 Issuer': [
    '@kubernetes-models/cert-manager',
    'ComGithubCertManagerCertManagerPkgApisCertmanagerV1Issuer',
  ],
};

/** What is wrong with a manifest by its kind's schema: wrong types, what is missing, and fields that there are not. */
export async function problemsOf(manifest: Manifest): Promise<string[]> {
  const kind = `${manifest.apiVersion} ${manifest.kind}`;
  const schema = schemas[kind];
  if (schema === undefined) return [`${kind}: no schema for it`];
  // By its path: not every one of these packages exports its schemas.
  const file = path.join(packageRoot, 'node_modules', schema[0], '_schemas', `${schema[1]}.js`);
  const { validate } = (await import(file)) as { readonly validate: Validator };
  const { watched, unread } = watch(manifest);
  if (!validate(watched)) {
    return (validate.errors ?? []).map(({ instancePath, keyword }) => `${kind}${instancePath}: ${keyword}`);
  }
  return unread().map((path) => `${kind}${path}: there is no such field`);
}

/**
 * The schemas allow fields that they don't know, as the API server's own document does. A validator reads each field that
 * it knows, though, and each entry of a map: what it leaves unread is a misspelt field.
 */
function watch(tree: object): { readonly watched: object; readonly unread: () => string[] } {
  const seen: { readonly path: string; readonly target: object; readonly read: Set<PropertyKey> }[] = [];
  const wrap = (value: unknown, path: string): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    const read = new Set<PropertyKey>();
    seen.push({ path, target: value, read });
    return new Proxy(value, {
      get: (target, key) => {
        read.add(key);
        return wrap(Reflect.get(target, key), `${path}/${String(key)}`);
      },
    });
  };
  return {
    watched: wrap(tree, '') as object,
    unread: () => {
      // The same object is wrapped at every reading: what one of them read is read.
      const read = new Map<object, { readonly path: string; readonly keys: Set<PropertyKey> }>();
      for (const each of seen) {
        const known = read.get(each.target) ?? { path: each.path, keys: new Set<PropertyKey>() };
        for (const key of each.read) known.keys.add(key);
        read.set(each.target, known);
      }
      return [...read].flatMap(([target, { path, keys }]) =>
        Array.isArray(target)
          ? []
          : Object.keys(target)
              .filter((key) => !keys.has(key))
              .map((key) => `${path}/${key}`),
      );
    },
  };
}
