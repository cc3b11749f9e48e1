import type { Resource } from './types.ts';

export const namespaces: Resource = { path: '/api/v1/namespaces', name: 'namespaces' };

/** The EndpointSlices of one namespace, so that a Role in it is enough. */
export function endpointSlices(namespace: string): Resource {
  return {
    path: `/apis/discovery.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/endpointslices`,
    name: `endpointslices.discovery.k8s.io in namespace ${namespace}`,
  };
}

export function secrets(namespace: string): Resource {
  return {
    path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets`,
    name: `secrets in namespace ${namespace}`,
  };
}

export function pods(namespace: string): Resource {
  return { path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`, name: `pods in namespace ${namespace}` };
}

export function daemonSets(namespace: string): Resource {
  return {
    path: `/apis/apps/v1/namespaces/${encodeURIComponent(namespace)}/daemonsets`,
    name: `daemonsets.apps in namespace ${namespace}`,
  };
}

export function events(namespace: string): Resource {
  return {
    path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/events`,
    name: `events in namespace ${namespace}`,
  };
}
