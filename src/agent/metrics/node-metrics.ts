import { type Condition, isReady } from '../../telemetry/conditions.ts';
import type { MetricDefinition, Sample } from '../../telemetry/metric-page.ts';
import type { ProcessStat } from '../../telemetry/process-watch.ts';
import type { EngineSnapshot } from '../observation.ts';
import type { SupervisorStat } from '../supervisor-watch.ts';

/** What is known of a node, its engine running or not. */
export interface NodeView {
  readonly version: string;
  readonly node: string;
  /** Absent where no supervisor is: a mirror, a scheduler. */
  readonly supervisor?: SupervisorStat;
  readonly processes: Readonly<Record<string, ProcessStat>>;
  /** Absent while the engine is away. */
  readonly engine?: EngineSnapshot;
  readonly conditions: readonly Condition[];
}

const lags = ['mean', 'p99', 'max'] as const;

/** Told from the start: an increase that begins with the first sample is none to Prometheus. */
const usualCauses = { unavailable: 0, corrupt: 0, 'not-found': 0, unknown: 0 } as const;

/** Metrics that are there also while the engine is away. */
export const nodeMetrics: readonly MetricDefinition<NodeView>[] = [
  {
    name: 'shoal_build_info',
    help: 'The version that runs; always 1.',
    type: 'gauge',
    labels: ['version', 'node_version'],
    read: ({ version, node }) => [[1, { version, node_version: node }]],
  },
  {
    name: 'shoal_ready',
    help: 'Whether pulls are accelerated on this node (as /readyz says).',
    type: 'gauge',
    read: ({ conditions }) => [[Number(isReady(conditions))]],
  },
  {
    name: 'shoal_condition_ok',
    help: 'Whether a part of the node is in order; 0 when it is degraded or failed (as /readyz says).',
    type: 'gauge',
    labels: ['condition'],
    read: ({ conditions }) => conditions.map(({ name, state }) => [Number(state === 'ok'), { condition: name }]),
  },
  {
    name: 'shoal_engine_up',
    help: 'Whether the engine answers.',
    type: 'gauge',
    read: ({ engine }) => [[Number(engine !== undefined)]],
  },
  {
    name: 'shoal_engine_restarts_total',
    help: 'Times that the engine ended and was started again.',
    type: 'counter',
    read: ({ supervisor }) => [[supervisor?.engine.restarts ?? 0]],
  },
  {
    name: 'shoal_pulls_total',
    help: 'Pulls that were answered to the kubelet, by result, and by the kind of rule that decided about acceleration.',
    type: 'counter',
    labels: ['result', 'accelerated', 'rule'],
    read: ({ supervisor }) =>
      (supervisor?.pulls ?? []).map(({ count, accelerated, result, rule }) => [
        count,
        { result, rule, accelerated: String(accelerated) },
      ]),
  },
  {
    name: 'shoal_pull_duration_seconds',
    help: "Time from the kubelet's PullImage to its answer, the runtime's unpacking included.",
    type: 'histogram',
    labels: ['accelerated'],
    read: ({ supervisor }) =>
      supervisor === undefined
        ? []
        : [
            [supervisor.accelerated, { accelerated: 'true' }],
            [supervisor.plain, { accelerated: 'false' }],
          ],
  },
  {
    name: 'shoal_pull_fallbacks_total',
    help: 'Pulls that the runtime had to repeat without Shoal, by cause: what went wrong in Shoal, or engine_away.',
    type: 'counter',
    labels: ['cause'],
    read: ({ supervisor, engine }) => [
      [supervisor?.engineLost ?? 0, { cause: 'engine_away' }],
      ...Object.entries({ ...usualCauses, ...engine?.pulls?.fallBacks }).map(
        ([cause, count]): Sample => [count, { cause }],
      ),
    ],
  },
  {
    name: 'shoal_verification_failures_total',
    help: 'Bytes that were not what they should be, by the check that found it: sha256 of a whole blob, crc32c of a piece on the disk or from a peer.',
    type: 'counter',
    labels: ['check'],
    read: ({ engine }) => [
      [engine?.pulls?.mismatches ?? 0, { check: 'sha256' }],
      [engine?.store?.corrupt ?? 0, { check: 'crc32c_disk' }],
      [engine?.swarm?.failures.corrupt ?? 0, { check: 'crc32c_peer' }],
    ],
  },
  {
    name: 'shoal_process_cpu_seconds_total',
    help: 'User and system time of a process.',
    type: 'counter',
    labels: ['process'],
    read: eachProcess(({ cpuSeconds }) => cpuSeconds),
  },
  {
    name: 'shoal_process_resident_memory_bytes',
    help: "A process' memory: the engine's holds the memory tier.",
    type: 'gauge',
    labels: ['process'],
    read: eachProcess(({ residentBytes }) => residentBytes),
  },
  {
    name: 'shoal_process_heap_bytes',
    help: "JavaScript's part of it.",
    type: 'gauge',
    labels: ['process'],
    read: eachProcess(({ heapBytes }) => heapBytes),
  },
  {
    name: 'shoal_process_start_time_seconds',
    help: 'When a process began, since the epoch.',
    type: 'gauge',
    labels: ['process'],
    read: eachProcess(({ startedAt }) => startedAt),
  },
  {
    name: 'shoal_event_loop_lag_seconds',
    help: 'How late timers come, over the last quarter of a minute.',
    type: 'gauge',
    labels: ['process', 'stat'],
    read: ({ processes }) =>
      Object.entries(processes).flatMap(([process, { eventLoop }]) =>
        lags.map((stat): Sample => {
          const seconds = { mean: eventLoop.lagMean, p99: eventLoop.lagP99, max: eventLoop.lagMax }[stat];
          return [seconds, { process, stat }];
        }),
      ),
  },
  {
    name: 'shoal_event_loop_utilization_ratio',
    help: 'The share of time in which the event loop was not idle, over the last quarter of a minute.',
    type: 'gauge',
    labels: ['process'],
    read: eachProcess(({ eventLoop }) => eventLoop.utilization),
  },
];

function eachProcess(value: (stat: ProcessStat) => number) {
  return ({ processes }: NodeView): Sample[] =>
    Object.entries(processes).map(([process, stat]) => [value(stat), { process }]);
}
