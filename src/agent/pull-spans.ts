import { randomBytes } from 'node:crypto';
import { byteSources } from '../pull/observer.ts';
import type { PullDetail } from '../pull/pull-record.ts';
import type { Span } from '../telemetry/otlp-exporter.ts';
import { parseTraceparent } from '../telemetry/trace-context.ts';

/**
 * The spans of a pull that has ended: the pull, the registry's manifest, and each layer that came. Below the kubelet's span
 * when it sent one; empty when that is not recorded. All times are known by then, so nothing is traced while it runs.
 */
export function spansOf(pull: PullDetail): Span[] {
  const above = pull.traceparent === undefined ? undefined : parseTraceparent(pull.traceparent);
  if (above?.sampled === false) return [];
  const began = Date.parse(pull.began);
  const traceId = above?.traceId ?? id(16);
  const root = id(8);
  const child = (name: string, from: number, to: number, attributes: Span['attributes']): Span => ({
    traceId,
    spanId: id(8),
    parentId: root,
    name,
    start: began + from,
    end: began + Math.max(from, to),
    attributes,
  });
  const layers = pull.layers.flatMap((layer) => {
    const from = layer.requestedMs ?? layer.firstPieceMs;
    if (from === undefined) return [];
    const to = Math.max(layer.lastDeliveredMs ?? 0, layer.lastPieceMs ?? 0);
    return [child('layer', from, to, { 'oci.digest': layer.digest, 'oci.size': layer.size, ...bytesOf(layer.bytes) })];
  });
  return [
    {
      traceId,
      spanId: root,
      ...(above && { parentId: above.parentId }),
      name: 'pull',
      start: began,
      end: began + pull.elapsedMs,
      attributes: {
        'container.image.name': pull.image,
        'shoal.pull.id': pull.id,
        'shoal.rule': pull.rule,
        ...(pull.pod && { 'k8s.namespace.name': pull.pod.namespace, 'k8s.pod.name': pull.pod.name }),
        ...bytesOf(pull.bytes),
      },
      ...(pull.state === 'failed' && { error: pull.cause ?? '' }),
    },
    ...(pull.manifestMs === undefined ? [] : [child('manifest', 0, pull.manifestMs, {})]),
    ...layers,
  ];
}

function bytesOf(bytes: PullDetail['bytes']): Record<string, number> {
  return Object.fromEntries(byteSources.map((source) => [`shoal.bytes.${source}`, bytes[source]]));
}

function id(bytes: number): string {
  return randomBytes(bytes).toString('hex');
}
