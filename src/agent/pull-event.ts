import type { PodEvent } from '../kubernetes/event-queue.ts';
import type { BytesBySource } from '../pull/observer.ts';
import { isLost, type PullDetail } from '../pull/pull-record.ts';
import { formatBytes, formatMs, formatShare } from '../units.ts';

/** What the API server takes as the name of a pod and of a namespace (RFC 1123), and a UID as the kubelet gives it. */
const podName = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
const namespaceName = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const podUid = /^[\x21-\x7e]{1,128}$/;
/** Characters of an image reference, and of a cause. */
const longestImage = 300;
const longestCause = 400;

/**
 * What people shall read on the pod of a pull that has ended; undefined where there is nothing to say: no pod, nobody waited for the
 * end, nothing came through Shoal, or the runtime failed by itself, which the kubelet's own events tell. An engine that did not live
 * to see a pull's end sent the runtime back to the registry, whether the pull had to be made again or went on there.
 */
export function podEventOf(pull: PullDetail): PodEvent | undefined {
  const { namespace = '', name = '', uid = '' } = pull.pod ?? {};
  if (!podName.test(name) || !namespaceName.test(namespace) || !podUid.test(uid)) return undefined;
  const about = { pod: { namespace, name, uid }, subject: pull.image };
  if (pull.state !== 'ok' && pull.state !== 'failed') return undefined;
  if (pull.fellBack || isLost(pull))
    return { ...about, type: 'Warning', reason: 'ShoalFellBack', message: fellBackText(pull) };
  if (pull.state === 'failed' || total(pull.bytes) === 0) return undefined;
  return { ...about, type: 'Normal', reason: 'ShoalPulled', message: pulledText(pull) };
}

/** `Pulled 1.2 GiB in 8.1 s: 94 % from 6 peers, 6 % from the registry. Image: …` */
function pulledText(pull: PullDetail): string {
  const all = total(pull.bytes);
  const sources = sourcesOf(pull)
    .filter(({ bytes }) => bytes > 0)
    .sort((a, b) => b.bytes - a.bytes)
    .map(({ bytes, from }) => `${formatShare(bytes, all)} from ${from}`);
  return `Pulled ${formatBytes(all)} in ${formatMs(pull.elapsedMs)}: ${sources.join(', ')}. ${imageText(pull)}`;
}

function fellBackText(pull: PullDetail): string {
  const cause = pull.causes.findLast(({ kind }) => kind !== 'runtime')?.text ?? 'not known';
  const end = pull.state === 'ok' ? 'succeeded' : 'failed, too,';
  const how = pull.fellBack ? 'again' : 'on';
  const text = `Pulled ${how} without Shoal, which ${end} after ${formatMs(pull.elapsedMs)}`;
  return `${text}. Cause: ${cut(cause, longestCause)}. ${imageText(pull)}`;
}

function sourcesOf({ bytes, senders }: PullDetail): { readonly bytes: number; readonly from: string }[] {
  const nodes = (source: 'peer' | 'mirror') => {
    const count = senders.filter((sender) => sender.source === source).length;
    return `${count} ${source}${count === 1 ? '' : 's'}`;
  };
  return [
    { bytes: bytes.peer, from: nodes('peer') },
    { bytes: bytes.mirror, from: nodes('mirror') },
    { bytes: bytes.memory + bytes.disk, from: "this node's cache" },
    { bytes: bytes.origin, from: 'the registry' },
  ];
}

function imageText({ image }: PullDetail): string {
  return `Image: ${cut(image, longestImage)}`;
}

function total(bytes: BytesBySource): number {
  return Object.values(bytes).reduce((sum, value) => sum + value, 0);
}

function cut(text: string, longest: number): string {
  return text.length <= longest ? text : `${text.slice(0, longest - 1)}…`;
}
