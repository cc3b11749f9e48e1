import type { MetricDefinition, Sample } from '../../telemetry/metric-page.ts';
import type { EngineSnapshot } from '../observation.ts';

export type PullSide = Required<Pick<EngineSnapshot, 'pulls' | 'mirror'>>;

/** Metrics of pulls: absent while the engine is away, and where no runtime pulls. */
export const pullMetrics: readonly MetricDefinition<PullSide>[] = [
  {
    name: 'shoal_pulls_active',
    help: 'Accelerated pulls under way.',
    type: 'gauge',
    read: ({ pulls }) => [[pulls.active]],
  },
  {
    name: 'shoal_pull_bytes_total',
    help: 'Bytes of layers that pulls got, by where they came from; those of other nodes by their zone, empty where it is not known.',
    type: 'counter',
    labels: ['source', 'zone'],
    read: ({ pulls: { bytes, zones } }) => [
      ...(['memory', 'disk', 'origin'] as const).map((source): Sample => [bytes[source], { source, zone: '' }]),
      ...zones.flatMap(({ zone, peer, mirror }): Sample[] => [
        [peer, { source: 'peer', zone }],
        [mirror, { source: 'mirror', zone }],
      ]),
    ],
  },
  {
    name: 'shoal_delivered_bytes_total',
    help: 'Bytes of layers that went to runtimes.',
    type: 'counter',
    read: ({ pulls }) => [[pulls.delivered]],
  },
  {
    name: 'shoal_pull_first_byte_seconds',
    help: "Time from a pull's begin to the first byte of a layer that went to the runtime.",
    type: 'histogram',
    read: ({ pulls }) => [[pulls.firstByte]],
  },
  {
    name: 'shoal_mirror_requests_total',
    help: "The runtime's requests, by what was asked for and the answer's status; cut: ended in the middle; left: the runtime went away first.",
    type: 'counter',
    labels: ['kind', 'result'],
    read: ({ mirror }) => mirror.requests.map(({ kind, result, count }) => [count, { kind, result }]),
  },
  {
    name: 'shoal_mirror_requests_active',
    help: "The runtime's requests that are being answered.",
    type: 'gauge',
    read: ({ mirror }) => [[mirror.active]],
  },
];
