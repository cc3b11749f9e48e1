import type { MetricDefinition } from '../../telemetry/metric-page.ts';
import type { EngineSnapshot } from '../observation.ts';

/** Metrics of the events on pods: absent where none are written. */
export const eventMetrics: readonly MetricDefinition<EngineSnapshot>[] = [
  {
    name: 'shoal_kubernetes_events_total',
    help: 'Events on pods: written, or lost because the Kubernetes API refused them or was away for too long.',
    type: 'counter',
    labels: ['result'],
    read: ({ events }) =>
      events === undefined
        ? []
        : [
            [events.written, { result: 'written' }],
            [events.lost, { result: 'lost' }],
          ],
  },
];
