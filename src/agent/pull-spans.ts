import type { LayerView } from '../pull/layer-record.ts';
import { byteSources, layerSpan, manifestSpan } from '../pull/observer.ts';
import type { PullDetail } from '../pull/pull-record.ts';
import type { Span } from '../telemetry/otlp-exporter.ts';
import type { TraceScope } from '../telemetry/trace-scope.ts';

/**
 * The spans of a pull that has ended: the pull, the registry's manifest, each layer that came, and in a layer what each source
 * gave. All times are known by then, so nothing is written while it runs.
 */
export function spansOf(pull: PullDetail, scope: TraceScope): Span[] {
  const { traceId, spanId, parentId, state } = scope;
  const began = Date.parse(pull.began);
  const common = { traceId, ...(state !== undefined && { state }) };
  const below = (name: string, above: string | undefined, part: Part): Span => ({
    ...common,
    spanId: scope.child(part.id),
    parentId: above === undefined ? spanId : scope.child(above),
    name,
    start: began + part.from,
    end: began + Math.max(part.from, part.to),
    attributes: part.attributes,
  });
  const layers = pull.layers.flatMap((layer) => {
    const from = layer.requestedMs ?? layer.firstPieceMs;
    if (from === undefined) return [];
    const to = Math.max(layer.lastDeliveredMs ?? 0, layer.lastPieceMs ?? 0);
    const id = layerSpan(layer.digest);
    const attributes = { 'oci.digest': layer.digest, 'oci.size': layer.size, ...bytesOf(layer.bytes) };
    return [
      below('layer', undefined, { id, from, to, attributes }),
      ...partsOf(layer).map((part) => below('fetch', id, part)),
    ];
  });
  return [
    {
      ...common,
      spanId,
      ...(parentId !== undefined && { parentId }),
      name: 'pull',
      kind: 'server',
      start: began,
      end: began + pull.elapsedMs,
      attributes: {
        'container.image.name': pull.image,
        'shoal.pull.id': pull.id,
        'shoal.rule': pull.rule,
        ...(pull.pod && { 'k8s.namespace.name': pull.pod.namespace, 'k8s.pod.name': pull.pod.name }),
        ...(pull.fellBack && { 'shoal.fell_back': 1 }),
        ...bytesOf(pull.bytes),
      },
      ...(pull.state === 'failed' && { error: pull.cause ?? '' }),
    },
    ...(pull.manifestMs === undefined
      ? []
      : [below('manifest', undefined, { id: manifestSpan, from: 0, to: pull.manifestMs, attributes: {} })]),
    ...layers,
  ];
}

/** A span below, in milliseconds since the pull's begin. */
interface Part {
  /** Its name in the scope. */
  readonly id: string;
  readonly from: number;
  readonly to: number;
  readonly attributes: Span['attributes'];
}

/** What each source gave of a layer: pieces are too many to be told one by one. */
function partsOf({ digest, bytes, sources }: LayerView): Part[] {
  return byteSources.flatMap((source) => {
    const sum = sources[source];
    if (sum === undefined) return [];
    const attributes = { 'shoal.source': source, 'shoal.pieces': sum.pieces, 'shoal.bytes': bytes[source] };
    return [{ id: `${source} ${digest}`, from: sum.firstMs, to: sum.lastMs, attributes }];
  });
}

function bytesOf(bytes: PullDetail['bytes']): Record<string, number> {
  return Object.fromEntries(byteSources.map((source) => [`shoal.bytes.${source}`, bytes[source]]));
}
