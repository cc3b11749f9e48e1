import { beforeEach, expect, test } from 'vitest';
import { tracedHost } from '../../../src/swarm/directory-service/traced-host.ts';
import type { Attendee, DirectoryHost } from '../../../src/swarm/directory-service/types.ts';
import type { AgentMessage, ShardMessage, Want } from '../../../src/swarm/messages.ts';
import type { Span } from '../../../src/telemetry/otlp-exporter.ts';
import { RemoteSpans } from '../../../src/telemetry/remote-spans.ts';

const blob = `sha256:${'a'.repeat(64)}`;
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentId = '00f067aa0ba902b7';
const hello = { id: 'node-2', address: '10.0.0.2:1', zone: '', role: 'agent', slots: 1, leases: 0, pace: 0 } as const;
const want = (piece: number, trace = `00-${traceId}-${parentId}-01`): Want => ({
  kind: 'want',
  blob,
  piece,
  lease: false,
  urgent: false,
  source: 'reg.test/app',
  ...(trace !== '' && { trace }),
});
const take = (piece: number): ShardMessage => ({ kind: 'take', blob, piece, crc32c: 1, peers: [] });

let now: number;
let exported: Span[];
let spans: RemoteSpans;
let said: AgentMessage[];
let heard: ShardMessage[];
let shard: Attendee | undefined;
let left: boolean;

const host = {
  attach(_hello: unknown, attendee: Attendee) {
    shard = attendee;
    return {
      say: (message: AgentMessage) => said.push(message),
      update: () => undefined,
      leave: () => {
        left = true;
      },
    };
  },
} as unknown as DirectoryHost;

beforeEach(() => {
  now = 0;
  [exported, said, heard, left] = [[], [], [], false];
  spans = new RemoteSpans({ export: (some) => exported.push(...some), now: () => now, monotonic: () => now });
});

function attend() {
  const attendee = {
    receive: (message: ShardMessage) => heard.push(message),
    stands: () => undefined,
    ended: () => undefined,
  };
  const attendance = tracedHost(host, spans).attach(hello, attendee);
  if (attendance === undefined || shard === undefined) throw new Error('not attached');
  return { attendance, shard };
}

test('wants of a recorded pull are one span: how many, what was decided, how long the longest waited', () => {
  const { attendance, shard } = attend();
  for (const piece of [0, 1, 2, 3]) attendance.say(want(piece));
  now = 30;
  shard.receive(take(0));
  now = 80;
  shard.receive({ kind: 'lease', blob, piece: 1, source: 'reg.test/app' });
  attendance.say({ kind: 'cancel', blob, piece: 2 });
  attendance.leave();
  spans.close();
  expect(exported).toMatchObject([
    {
      traceId,
      parentId,
      name: 'directory',
      start: 0,
      end: 80,
      attributes: {
        'oci.digest': blob,
        'shoal.node': 'node-2',
        'shoal.pieces': 4,
        'shoal.pieces.take': 1,
        'shoal.pieces.lease': 1,
        'shoal.pieces.withdrawn': 1,
        'shoal.pieces.left': 1,
        'shoal.longest_ms': 80,
      },
    },
  ]);
  expect(said).toHaveLength(5);
  expect(heard.map(({ kind }) => kind)).toEqual(['take', 'lease']);
  expect(left).toBe(true);
});

test('other wants pass as they are', () => {
  const { attendance, shard } = attend();
  attendance.say(want(0, ''));
  attendance.say(want(1, 'nonsense'));
  shard.receive(take(0));
  shard.receive(take(1));
  spans.close();
  expect(exported).toEqual([]);
  expect([said.length, heard.length]).toEqual([2, 2]);
});

test('a want that is asked again is one', () => {
  const { attendance, shard } = attend();
  attendance.say(want(0));
  attendance.say({ ...want(0), urgent: true });
  shard.receive(take(0));
  spans.close();
  expect(exported).toMatchObject([{ attributes: { 'shoal.pieces': 1 } }]);
});

test('a mirror that is leased what a recorded pull wants is told of its trace, as long as that waits', () => {
  const traced = tracedHost(host, spans);
  const heardBy: ShardMessage[][] = [[], []];
  const [agent, mirror] = heardBy.map((messages) => {
    const attendance = traced.attach(hello, {
      receive: (message) => messages.push(message),
      stands: () => undefined,
      ended: () => undefined,
    });
    return { attendance, shard };
  });
  const lease = (piece: number) => ({ kind: 'lease', blob, piece, source: 'reg.test/app' }) as const;
  const { trace } = want(0);
  agent?.attendance?.say(want(0));
  mirror?.shard?.receive(lease(0));
  agent?.shard?.receive(take(0));
  mirror?.shard?.receive(lease(0));
  agent?.attendance?.say(want(1));
  agent?.attendance?.leave();
  mirror?.shard?.receive(lease(1));
  expect(heardBy[1]).toEqual([{ ...lease(0), trace }, lease(0), lease(1)]);
});
