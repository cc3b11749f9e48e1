import type { MetricDefinition, Sample } from '../../telemetry/metric-page.ts';
import type { EngineSnapshot } from '../observation.ts';
import { acrMetrics } from './acr-metrics.ts';
import { swarmMetrics } from './swarm-metrics.ts';

/** Metrics of the engine: absent while it is away. */
export const engineMetrics: readonly MetricDefinition<EngineSnapshot>[] = [
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
    name: 'shoal_verification_failures_total',
    help: 'Bytes that were not what they should be, by the check that found it: sha256 of a whole blob, crc32c of a piece on the disk or from a peer.',
    type: 'counter',
    labels: ['check'],
    read: ({ pulls, store, swarm }) => [
      [pulls.mismatches, { check: 'sha256' }],
      [store.corrupt, { check: 'crc32c_disk' }],
      [swarm?.failures.corrupt ?? 0, { check: 'crc32c_peer' }],
    ],
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
  {
    name: 'shoal_cache_hits_total',
    help: 'Pieces that were found in the cache, by tier.',
    type: 'counter',
    labels: ['tier'],
    read: ({ store }) => [
      [store.hits.memory, { tier: 'memory' }],
      [store.hits.disk, { tier: 'disk' }],
    ],
  },
  {
    name: 'shoal_cache_misses_total',
    help: 'Pieces that were looked for in the cache and not found.',
    type: 'counter',
    read: ({ store }) => [[store.misses]],
  },
  {
    name: 'shoal_cache_evictions_total',
    help: 'Pieces that had to make room for others.',
    type: 'counter',
    read: ({ store }) => [[store.evictions]],
  },
  {
    name: 'shoal_cache_pieces',
    help: 'Pieces in the cache.',
    type: 'gauge',
    read: ({ store }) => [[store.pieces]],
  },
  {
    name: 'shoal_cache_blobs',
    help: 'Blobs with pieces in the cache.',
    type: 'gauge',
    read: ({ store }) => [[store.blobs]],
  },
  {
    name: 'shoal_cache_used_bytes',
    help: 'Bytes of pieces in each tier, in whole blocks.',
    type: 'gauge',
    labels: ['tier'],
    read: ({ store }) => tiers(store.memory.used, store.disk?.used),
  },
  {
    name: 'shoal_cache_capacity_bytes',
    help: "Each tier's size.",
    type: 'gauge',
    labels: ['tier'],
    read: ({ store }) => tiers(store.memory.capacity, store.disk?.capacity),
  },
  {
    name: 'shoal_cache_pinned_bytes',
    help: 'Bytes of the memory tier that are being sent, received or hashed now.',
    type: 'gauge',
    read: ({ store }) => [[store.memory.pinned]],
  },
  {
    name: 'shoal_cache_dirty_bytes',
    help: 'Bytes of the memory tier that wait to be written to the disk.',
    type: 'gauge',
    read: ({ store }) => [[store.memory.dirty]],
  },
  {
    name: 'shoal_disk_up',
    help: 'Whether the disk tier is in use, by its engine: libaio, pool (of threads), none while it never could be opened.',
    type: 'gauge',
    labels: ['engine'],
    read: ({ store: { disk } }) =>
      disk === undefined ? [] : [[Number(disk.degraded === undefined), { engine: disk.engine }]],
  },
  {
    name: 'shoal_disk_requests',
    help: "Requests to the cache's disk now: in flight in the kernel, or queued before it.",
    type: 'gauge',
    labels: ['state'],
    read: ({ store: { disk } }) =>
      disk === undefined
        ? []
        : [
            [disk.io.inFlight, { state: 'in_flight' }],
            [disk.io.queued, { state: 'queued' }],
          ],
  },
  {
    name: 'shoal_disk_bytes_total',
    help: "Bytes that went to and came from the cache's disk since it was opened.",
    type: 'counter',
    labels: ['operation'],
    read: ({ store: { disk } }) =>
      disk === undefined
        ? []
        : [
            [disk.io.readBytes, { operation: 'read' }],
            [disk.io.writtenBytes, { operation: 'write' }],
          ],
  },
  {
    name: 'shoal_disk_latency_seconds',
    help: "Time that a piece took to or from the cache's disk, waiting included.",
    type: 'histogram',
    labels: ['operation'],
    read: ({ store: { disk } }) =>
      disk === undefined
        ? []
        : [
            [disk.io.readSeconds, { operation: 'read' }],
            [disk.io.writeSeconds, { operation: 'write' }],
          ],
  },
  ...swarmMetrics,
  ...acrMetrics,
];

function tiers(memory: number, disk: number | undefined): Sample[] {
  return [[memory, { tier: 'memory' }], ...(disk === undefined ? [] : [[disk, { tier: 'disk' }] as const])];
}
