import type { StoreStat } from '../../store/types.ts';
import type { MetricDefinition, Sample } from '../../telemetry/metric-page.ts';

/** Metrics of the piece store. */
export const cacheMetrics: readonly MetricDefinition<StoreStat>[] = [
  {
    name: 'shoal_cache_hits_total',
    help: 'Pieces that were found in the cache, by tier.',
    type: 'counter',
    labels: ['tier'],
    read: (store) => [
      [store.hits.memory, { tier: 'memory' }],
      [store.hits.disk, { tier: 'disk' }],
    ],
  },
  {
    name: 'shoal_cache_misses_total',
    help: 'Pieces that were looked for in the cache and not found.',
    type: 'counter',
    read: (store) => [[store.misses]],
  },
  {
    name: 'shoal_cache_evictions_total',
    help: 'Pieces that had to make room for others.',
    type: 'counter',
    read: (store) => [[store.evictions]],
  },
  {
    name: 'shoal_cache_pieces',
    help: 'Pieces in the cache.',
    type: 'gauge',
    read: (store) => [[store.pieces]],
  },
  {
    name: 'shoal_cache_blobs',
    help: 'Blobs with pieces in the cache.',
    type: 'gauge',
    read: (store) => [[store.blobs]],
  },
  {
    name: 'shoal_cache_used_bytes',
    help: 'Bytes of pieces in each tier, in whole blocks.',
    type: 'gauge',
    labels: ['tier'],
    read: (store) => tiers(store.memory.used, store.disk?.used),
  },
  {
    name: 'shoal_cache_capacity_bytes',
    help: "Each tier's size.",
    type: 'gauge',
    labels: ['tier'],
    read: (store) => tiers(store.memory.capacity, store.disk?.capacity),
  },
  {
    name: 'shoal_cache_pinned_bytes',
    help: 'Bytes of the memory tier that are being sent, received or hashed now.',
    type: 'gauge',
    read: (store) => [[store.memory.pinned]],
  },
  {
    name: 'shoal_cache_dirty_bytes',
    help: 'Bytes of the memory tier that wait to be written to the disk.',
    type: 'gauge',
    read: (store) => [[store.memory.dirty]],
  },
  {
    name: 'shoal_disk_up',
    help: 'Whether the disk tier is in use, by its engine: libaio, pool (of threads), none while it never could be opened.',
    type: 'gauge',
    labels: ['engine'],
    read: ({ disk }) => (disk === undefined ? [] : [[Number(disk.degraded === undefined), { engine: disk.engine }]]),
  },
  {
    name: 'shoal_disk_requests',
    help: "Requests to the cache's disk now: in flight in the kernel, or queued before it.",
    type: 'gauge',
    labels: ['state'],
    read: ({ disk }) =>
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
    read: ({ disk }) =>
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
    read: ({ disk }) =>
      disk === undefined
        ? []
        : [
            [disk.io.readSeconds, { operation: 'read' }],
            [disk.io.writeSeconds, { operation: 'write' }],
          ],
  },
];

function tiers(memory: number, disk: number | undefined): Sample[] {
  return [[memory, { tier: 'memory' }], ...(disk === undefined ? [] : [[disk, { tier: 'disk' }] as const])];
}
