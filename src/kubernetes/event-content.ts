import { createHash } from 'node:crypto';
import type { CountedEvent } from './event-queue.ts';
import type { Content } from './types.ts';

/** Who says it. */
export interface EventSource {
  readonly component: string;
  /** The node. */
  readonly host: string;
}

/** What the API server takes of a message, in characters. */
const longestMessage = 1024;
/** Of a name (RFC 1123 subdomain). */
const longestName = 253;

/** An Event of core/v1 as the kubelet's own are, so that every tool shows it among them. */
export function eventContent(event: CountedEvent, name: string, source: EventSource): Content {
  const { pod, type, reason } = event;
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name, namespace: pod.namespace },
    involvedObject: { apiVersion: 'v1', kind: 'Pod', ...pod },
    type,
    reason,
    source,
    reportingComponent: source.component,
    reportingInstance: source.host,
    ...repetition(event),
  };
}

/** What a repetition changes in the event that is there. */
export function repetition({ message, first, last, count }: Omit<CountedEvent, 'pod' | 'type' | 'reason'>): Content {
  return { message: printable(message), firstTimestamp: time(first), lastTimestamp: time(last), count };
}

/**
 * `<pod>.<ending>`, as the kubelet's events have it. The same for each try to create the event: a second one after an answer that
 * got lost finds the first.
 */
export function eventName({ pod, reason, subject, first }: CountedEvent, { host }: EventSource): string {
  const facts = JSON.stringify([pod.uid, reason, subject, first, host]);
  const ending = createHash('sha256').update(facts).digest('hex').slice(0, 16);
  const room = longestName - ending.length - 1;
  return `${pod.name.slice(0, room).replace(/[^a-z0-9]+$/, '')}.${ending}`;
}

/** `metav1.Time`: seconds. */
function time(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/\.\d+Z$/, 'Z');
}

/** Messages carry words of registries: one line, without control characters. */
function printable(text: string): string {
  const line = text.replace(/\p{Cc}+/gu, ' ');
  return line.length <= longestMessage ? line : `${line.slice(0, longestMessage - 1)}…`;
}
