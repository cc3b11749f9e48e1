import type { MetricDefinition } from '../../telemetry/metric-page.ts';
import type { EngineSnapshot } from '../observation.ts';

/** Metrics of what Alibaba Cloud is asked for, and of the way to its object storage. */
export const acrMetrics: readonly MetricDefinition<EngineSnapshot>[] = [
  {
    name: 'shoal_acr_instance_hosts',
    help: 'Registry hosts of each configured ACR instance that are accelerated; 0 while they are not known.',
    type: 'gauge',
    labels: ['instance'],
    read: ({ acr }) => acr.map(({ id, hosts }) => [hosts.length, { instance: id }]),
  },
  {
    name: 'shoal_acr_instance_problem',
    help: "1 when the last question for an instance's endpoints brought an error or a warning, which the log and the status tell.",
    type: 'gauge',
    labels: ['instance'],
    read: ({ acr }) => acr.map(({ id, problem }) => [problem === undefined ? 0 : 1, { instance: id }]),
  },
  {
    name: 'shoal_oss_redirects_total',
    help: 'Redirects to object storage with OSS acceleration on: accelerated; fell_back, of these, to the own host of the bucket; signed_host and failing: left as they were.',
    type: 'counter',
    labels: ['outcome'],
    read: ({ oss }) =>
      oss === undefined
        ? []
        : [
            [oss.accelerated, { outcome: 'accelerated' }],
            [oss.fellBack, { outcome: 'fell_back' }],
            [oss.unchanged['signed-host'], { outcome: 'signed_host' }],
            [oss.unchanged.failing, { outcome: 'failing' }],
          ],
  },
];
