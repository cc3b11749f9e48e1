import { isRecord } from './record.ts';
import type { KubernetesObject } from './types.ts';

export interface Rollout {
  readonly done: boolean;
  /** Nodes whose pod is of the newest template and available. */
  readonly ready: number;
  readonly wanted: number;
}

/** How far a DaemonSet's rollout is, as `kubectl rollout status` sees it. */
export function rolloutOf(daemonSet: KubernetesObject): Rollout {
  const { metadata, status } = daemonSet.content;
  const generation = numberAt(metadata, 'generation');
  // The counts of an older generation say nothing of this one.
  const isSeen = numberAt(status, 'observedGeneration') >= generation;
  const wanted = numberAt(status, 'desiredNumberScheduled');
  const updated = numberAt(status, 'updatedNumberScheduled');
  const available = numberAt(status, 'numberAvailable');
  const ready = isSeen ? Math.min(updated, available) : 0;
  return { done: isSeen && ready >= wanted, ready, wanted };
}

/** Go leaves out fields that are zero. */
function numberAt(value: unknown, key: string): number {
  const found = isRecord(value) ? value[key] : undefined;
  return typeof found === 'number' ? found : 0;
}
