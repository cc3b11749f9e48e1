import type { SwarmStat } from '../../swarm/stat.ts';
import type { MetricDefinition } from '../../telemetry/metric-page.ts';

/** Metrics of the other nodes; absent where the node is alone. */
export const swarmMetrics: readonly MetricDefinition<SwarmStat>[] = [
  {
    name: 'shoal_swarm_usable',
    help: 'Whether the directory can be asked who has what; while it is 0 every node pulls alone.',
    type: 'gauge',
    read: ({ usable }) => [[Number(usable)]],
  },
  {
    name: 'shoal_swarm_members',
    help: 'Nodes of the swarm, this one included, by whether this node could reach them lately.',
    type: 'gauge',
    labels: ['state'],
    read: ({ members, suspects }) => [
      [members - suspects, { state: 'reachable' }],
      [suspects, { state: 'suspect' }],
    ],
  },
  {
    name: 'shoal_swarm_leases_active',
    help: 'Pieces that this node fetches from the registry for everybody now.',
    type: 'gauge',
    read: ({ schedule }) => (schedule === undefined ? [] : [[schedule.fetching]]),
  },
  {
    name: 'shoal_swarm_leases_total',
    help: 'Pieces that this node was told to fetch from the registry: granted, and those of them that failed.',
    type: 'counter',
    labels: ['event'],
    read: ({ schedule }) =>
      schedule === undefined
        ? []
        : [
            [schedule.leases, { event: 'granted' }],
            [schedule.failedLeases, { event: 'failed' }],
          ],
  },
  {
    name: 'shoal_swarm_hedges_total',
    help: 'Pieces that were asked of a second peer because the first was slow: started, and those that the second brought first.',
    type: 'counter',
    labels: ['event'],
    read: ({ schedule }) =>
      schedule === undefined
        ? []
        : [
            [schedule.hedges, { event: 'started' }],
            [schedule.hedgesWon, { event: 'won' }],
          ],
  },
  {
    name: 'shoal_swarm_peer_failures_total',
    help: 'Pieces that a peer did not give, by why: busy is no fault of it.',
    type: 'counter',
    labels: ['reason'],
    read: ({ failures }) => Object.entries(failures).map(([reason, count]) => [count, { reason }]),
  },
  {
    name: 'shoal_directory_shards',
    help: 'Shards of the directory, and how many of them this node is linked to.',
    type: 'gauge',
    labels: ['state'],
    read: ({ directory }) => [
      [directory.linked, { state: 'linked' }],
      [directory.shards - directory.linked, { state: 'away' }],
    ],
  },
  {
    name: 'shoal_directory_entries',
    help: 'What the shard on this node knows of: blobs, pieces, agents.',
    type: 'gauge',
    labels: ['kind'],
    read: ({ directory }) => [
      [directory.blobs, { kind: 'blobs' }],
      [directory.pieces, { kind: 'pieces' }],
      [directory.agents, { kind: 'agents' }],
    ],
  },
  {
    name: 'shoal_directory_lapsed_total',
    help: 'Decisions of the shard on this node that nothing came of in time: leases and transfers.',
    type: 'counter',
    read: ({ directory }) => [[directory.lapsed]],
  },
  {
    name: 'shoal_directory_banned_peers',
    help: 'Peers that the shard on this node sends nobody to, because their bytes were wrong.',
    type: 'gauge',
    read: ({ directory }) => [[directory.banned]],
  },
  {
    name: 'shoal_upload_bytes_total',
    help: 'Bytes that this node sent to others.',
    type: 'counter',
    read: ({ upload }) => [[upload.bytes]],
  },
  {
    name: 'shoal_upload_slots',
    help: 'How many nodes this one serves at once at most, and how many it serves now.',
    type: 'gauge',
    labels: ['state'],
    read: ({ upload }) => [
      [upload.slots, { state: 'most' }],
      [upload.active, { state: 'busy' }],
    ],
  },
  {
    name: 'shoal_upload_refusals_total',
    help: 'Requests of other nodes that were told to ask elsewhere, because all slots were busy.',
    type: 'counter',
    read: ({ upload }) => [[upload.busy]],
  },
  {
    name: 'shoal_certificate_end_timestamp_seconds',
    help: "When this node's certificate ends, since the epoch.",
    type: 'gauge',
    read: ({ certificateEnd }) => (certificateEnd === undefined ? [] : [[certificateEnd]]),
  },
];
