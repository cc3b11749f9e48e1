import { type Clock, systemClock } from '../clock.ts';
import { isRecord, textAt } from '../kubernetes/record.ts';
import { daemonSets, pods } from '../kubernetes/resources.ts';
import { type Rollout, rolloutOf } from '../kubernetes/rollout.ts';
import { type Content, type KubernetesEditor, KubernetesError, type KubernetesObject } from '../kubernetes/types.ts';

export interface LeaveOptions {
  readonly client: KubernetesEditor;
  readonly namespace: string;
  /** The DaemonSet that installs Shoal on the nodes. */
  readonly daemonSet: string;
  /** Milliseconds that the nodes may take. */
  readonly timeoutMs: number;
  /** Told whenever another node has left. */
  readonly onProgress: (rollout: Rollout) => void;
  readonly clock?: Clock;
}

/** What the DaemonSet's pods look at: `removed` has them take the node back to plain pulls, and be ready when it is. */
export const nodeLabel = { name: 'shoal-node', removed: 'removed' } as const;

/** Milliseconds between two looks: a node takes some seconds. */
const pollMs = 2_000;
/** Nodes that the error names at most. */
const mostNamed = 20;

/** Every node at once: each stands for itself, and pulls go on all the time. */
const removal: Content = {
  spec: {
    updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '100%' } },
    template: { metadata: { labels: { [nodeLabel.name]: nodeLabel.removed } } },
  },
};

/**
 * Has every node taken back to plain pulls, and resolves when they are: with their number. Rejects after `timeoutMs`, with
 * the names of those that are not. Without the DaemonSet there is nothing to do.
 */
export async function leaveNodes(options: LeaveOptions): Promise<number> {
  const { client, namespace, daemonSet, timeoutMs, onProgress, clock = systemClock } = options;
  const resource = daemonSets(namespace);
  const end = clock.now() + timeoutMs;
  const signal = AbortSignal.timeout(timeoutMs);
  let told: number | undefined;
  let failure = '';
  try {
    await client.patch(resource, daemonSet, removal, signal);
    while (clock.now() < end) {
      const found = await client.get(resource, daemonSet, signal).catch((error: unknown) => {
        if (!(error instanceof KubernetesError) || error.kind !== 'unavailable') throw error;
        failure = `; ${error.message}`;
      });
      if (found) {
        const rollout = rolloutOf(found);
        failure = '';
        if (rollout.ready !== told) onProgress(rollout);
        told = rollout.ready;
        if (rollout.done) return rollout.wanted;
      }
      await clock.sleep(pollMs, signal);
    }
  } catch (error) {
    if (error instanceof KubernetesError && error.kind === 'not-found') return 0;
    if (!signal.aborted) throw error;
  }
  const late = failure === '' ? await remaining(options) : failure;
  throw new Error(`not every node is back to plain pulls after ${timeoutMs / 1000} s${late}. ${mend}`);
}

const mend =
  'Uninstall again when they answer, or without hooks (helm uninstall --no-hooks) and run bootstrap.sh uninstall on them';

/** The nodes whose pod is of the former template, or not ready. */
async function remaining({ client, namespace, daemonSet }: LeaveOptions): Promise<string> {
  const { content } = await client.get(daemonSets(namespace), daemonSet, AbortSignal.timeout(pollMs));
  const labelSelector = selectorOf(content);
  const options = { labelSelector, freshness: 'any', signal: AbortSignal.timeout(pollMs) } as const;
  const { objects } = await client.list(pods(namespace), options);
  const nodes = objects.filter((pod) => !hasLeft(pod)).map(nodeOf);
  const more = nodes.length > mostNamed ? ` and ${nodes.length - mostNamed} more` : '';
  return `: ${nodes.slice(0, mostNamed).join(', ')}${more}`;
}

function selectorOf(daemonSet: Content): string {
  const labels = recordAt(recordAt(recordAt(daemonSet, 'spec'), 'selector'), 'matchLabels');
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(',');
}

function hasLeft({ content }: KubernetesObject): boolean {
  const labels = recordAt(recordAt(content, 'metadata'), 'labels');
  const conditions = recordAt(content, 'status').conditions;
  const isReady =
    Array.isArray(conditions) &&
    conditions.some((each: unknown) => isRecord(each) && each.type === 'Ready' && each.status === 'True');
  return labels[nodeLabel.name] === nodeLabel.removed && isReady;
}

function nodeOf({ name, content }: KubernetesObject): string {
  return textAt(recordAt(content, 'spec'), 'nodeName') ?? `pod ${name}, which is on no node`;
}

function recordAt(record: Content, key: string): Content {
  const value = record[key];
  return isRecord(value) ? value : {};
}
