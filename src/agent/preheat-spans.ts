import type { Span } from '../telemetry/otlp-exporter.ts';
import type { TraceScope } from '../telemetry/trace-scope.ts';
import type { NodeResult } from './preheating.ts';

/** What came of one node, and when. */
export interface NodeTime {
  readonly id: string;
  readonly result: NodeResult;
  /** Milliseconds since the epoch. */
  readonly end: number;
}

export interface PreheatCourse {
  readonly image: string;
  /** Milliseconds since the epoch. */
  readonly began: number;
  readonly end: number;
  readonly nodes: readonly NodeTime[];
}

/** The spans of `shoal preheat`: the whole, and one for each node, below which that node's own pull stands. */
export function preheatSpans({ image, began, end, nodes }: PreheatCourse, scope: TraceScope): Span[] {
  const { traceId, spanId, parentId, state } = scope;
  const common = { traceId, start: began, ...(state !== undefined && { state }) };
  const failed = nodes.filter(({ result }) => !result.ok).length;
  return [
    {
      ...common,
      ...(parentId !== undefined && { parentId }),
      ...{ spanId, end, name: 'preheat', kind: 'server' },
      attributes: { 'container.image.name': image, 'shoal.nodes': nodes.length, 'shoal.nodes.failed': failed },
      ...(failed > 0 && { error: `${failed} of ${nodes.length} nodes failed` }),
    },
    ...nodes.map(
      ({ id, result, end: ended }): Span => ({
        ...common,
        ...{ spanId: scope.child(id), parentId: spanId, end: ended, name: 'preheat node', kind: 'client' },
        attributes: {
          'shoal.node': id,
          ...(result.ok && { 'shoal.bytes': result.bytes, 'shoal.bytes.origin': result.originBytes }),
        },
        ...(!result.ok && { error: result.error }),
      }),
    ),
  ];
}
