import { isIP } from 'node:net';
import { formatAddress } from '../../config/address.ts';
import { isRecord, textAt } from '../../kubernetes/record.ts';
import type { KubernetesObject } from '../../kubernetes/types.ts';
import type { Member, MemberRole } from './types.ts';

/** Which Service a slice belongs to says its endpoints' role; the slice controller copies the Service's labels. */
export const roleLabel = 'app.kubernetes.io/component';

/** An endpoint of a slice that serves. */
export interface Endpoint extends Member {
  readonly family: 'IPv4' | 'IPv6';
}

/** Endpoints of one slice at most: the API server's own limit (discovery.k8s.io/v1). */
const mostEndpoints = 1_000;

/**
 * The endpoints of an EndpointSlice that take part in the swarm: `serving` and not `terminating`. Who is about to leave is
 * left out while it still answers, so that its share has moved before it is gone. Undefined for a slice of another kind of
 * address, without the port, or of a component that is no role of the swarm.
 */
export function endpointsOf(slice: KubernetesObject, portName: string): readonly Endpoint[] | undefined {
  const { content } = slice;
  const family = content.addressType;
  const role = roleOf(content.metadata);
  const port = portOf(content.ports, portName);
  if ((family !== 'IPv4' && family !== 'IPv6') || role === undefined || port === undefined) return undefined;
  const endpoints = Array.isArray(content.endpoints) ? content.endpoints.slice(0, mostEndpoints) : [];
  return endpoints.flatMap((endpoint: unknown) => {
    if (!isRecord(endpoint) || !takesPart(endpoint.conditions)) return [];
    // "All addresses of an endpoint are fungible; clients use the first" (API reference of endpoints[].addresses).
    const address: unknown = Array.isArray(endpoint.addresses) ? endpoint.addresses[0] : undefined;
    if (typeof address !== 'string' || isIP(address) !== (family === 'IPv4' ? 4 : 6)) return [];
    const zone = boundedText(endpoint, 'zone') ?? '';
    return { id: idOf(endpoint, role) ?? address, address: formatAddress(address, port), zone, role, family };
  });
}

/**
 * Every member once, though a dual-stack node is in two slices and any endpoint in two while it moves between slices. Which
 * one counts depends on nothing but the content: IPv4 before IPv6, then the lowest address.
 */
export function mergeEndpoints(slices: Iterable<readonly Endpoint[]>): Member[] {
  const byId = new Map<string, Endpoint>();
  for (const endpoints of slices) {
    for (const endpoint of endpoints) {
      const known = byId.get(endpoint.id);
      if (known === undefined || comesBefore(endpoint, known)) byId.set(endpoint.id, endpoint);
    }
  }
  return [...byId.values()].map(({ id, address, zone, role }) => ({ id, address, zone, role }));
}

function comesBefore(one: Endpoint, other: Endpoint): boolean {
  if (one.family !== other.family) return one.family === 'IPv4';
  return one.address < other.address;
}

/** Without the label the slice is the agents': a Service made by hand. */
function roleOf(metadata: unknown): MemberRole | undefined {
  const labels = isRecord(metadata) && isRecord(metadata.labels) ? metadata.labels : {};
  const component = labels[roleLabel] ?? 'agent';
  return component === 'agent' || component === 'mirror' || component === 'scheduler' ? component : undefined;
}

function portOf(ports: unknown, name: string): number | undefined {
  const found: unknown = Array.isArray(ports)
    ? ports.find((each: unknown) => isRecord(each) && each.name === name && (each.protocol ?? 'TCP') === 'TCP')
    : undefined;
  const port = isRecord(found) ? found.port : undefined;
  return typeof port === 'number' && Number.isInteger(port) && port >= 1 && port <= 65_535 ? port : undefined;
}

/** Absent conditions, as the API reference has them: ready is true, serving is as ready, terminating is false. */
function takesPart(conditions: unknown): boolean {
  const { ready, serving, terminating } = isRecord(conditions) ? conditions : {};
  return (serving ?? ready ?? true) === true && (terminating ?? false) === false;
}

/**
 * An agent is its node: the pod beside it is replaced at every upgrade. Mirrors and schedulers are their pods (stable
 * names, of a StatefulSet), for an agent may be on the same node.
 */
function idOf(endpoint: Readonly<Record<string, unknown>>, role: MemberRole): string | undefined {
  const target = isRecord(endpoint.targetRef) ? boundedText(endpoint.targetRef, 'name') : undefined;
  const node = boundedText(endpoint, 'nodeName');
  return role === 'agent' ? (node ?? target) : (target ?? node);
}

/** Names of nodes and pods, and label values, have at most 253 characters. */
function boundedText(record: Readonly<Record<string, unknown>>, key: string): string | undefined {
  const text = textAt(record, key);
  return text !== undefined && text !== '' && text.length <= 253 ? text : undefined;
}
