import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { encodeAgentFrame } from '../../src/swarm/directory-service/codec.ts';
import { withPrefix } from '../../src/swarm/directory-service/framing.ts';
import type { AgentMessage } from '../../src/swarm/messages.ts';
import { type AttendanceOptions, RawAttendance } from '../harness/attendance.ts';
import { type DirectoryNode, DirectoryNodes, type NodeOptions } from '../harness/directory-nodes.ts';
import { helloOf } from '../harness/hello.ts';
import { field } from '../harness/protobuf.ts';
import { Scope } from '../harness/scope.ts';
import { SwarmAuthority } from '../harness/swarm-certificates.ts';
import { waitFor } from '../harness/wait.ts';
import { openWire } from '../harness/wire.ts';

const blob = `sha256:${'ab'.repeat(32)}`;
const hello = helloOf('agent-1', { zone: 'a' });
const want = (piece: number): AgentMessage & { readonly kind: 'want' } => ({
  kind: 'want',
  blob,
  piece,
  lease: true,
  urgent: false,
  source: 'registry.test/app',
});

let scope: Scope;
let swarm: DirectoryNodes;
beforeEach(() => {
  scope = new Scope();
  swarm = new DirectoryNodes(scope);
});
afterEach(() => scope.close());

/** A node whose shard knows nobody but those who attend to it. */
async function startShard(options: NodeOptions = {}): Promise<DirectoryNode> {
  const [node] = await swarm.start(['shard'], { role: 'scheduler', ...options });
  if (node === undefined) throw new Error('no node was started');
  return node;
}

function attend(shard: DirectoryNode, options?: AttendanceOptions): RawAttendance {
  return new RawAttendance(scope, shard.address, options);
}

describe('a stream to a shard', () => {
  test('gets its decisions, and its end voids what was wanted', async () => {
    const shard = await startShard();
    const first = attend(shard).read().say(hello, want(0));
    const second = attend(shard)
      .read()
      .say({ ...hello, id: 'agent-2' }, want(0));
    await Promise.all([first.opened, second.opened]);
    await waitFor(() => first.received.length > 0, { what: 'the lease' });
    expect(first.received).toEqual([{ kind: 'lease', blob, piece: 0, source: 'registry.test/app' }]);
    first.stream.end();
    expect(await first.ended).toBe('ok');
    await waitFor(() => second.received.length > 0, { what: 'the lease to pass on' });
    expect(shard.host.stat.agents).toBe(1);
  });

  test('that breaks ends the attendance, too', async () => {
    const shard = await startShard();
    const { session, opened } = attend(shard).say(hello);
    await opened;
    expect(shard.host.stat.agents).toBe(1);
    session.destroy();
    await waitFor(() => shard.host.stat.agents === 0, { what: 'the end of the attendance' });
    await waitFor(() => shard.server.stat().connections === 0, { what: 'the end of the connection' });
  });

  test('is ended by a second one of the same id', async () => {
    const shard = await startShard();
    const former = attend(shard).read().say(hello);
    await former.opened;
    const latter = attend(shard).read().say(hello, want(3));
    expect(await former.ended).toBe('aborted: another stream of the same id has come');
    await waitFor(() => latter.received.length > 0, { what: 'a decision' });
    expect(shard.host.stat.agents).toBe(1);
  });

  test('may change slots and leases', async () => {
    const shard = await startShard();
    const stream = attend(shard).read().say(hello);
    await stream.opened;
    stream.say({ ...hello, slots: 1, leases: 5 }, want(0));
    await waitFor(() => stream.received.length > 0, { what: 'a decision' });
  });

  test('is told when the shard stops', async () => {
    const shard = await startShard();
    const stream = attend(shard).read().say(hello);
    await stream.opened;
    shard.host.close();
    expect(await stream.ended).toBe('unavailable: the shard stops');
  });
});

describe('a shard ends the stream of an agent that', () => {
  const messages = Array.from({ length: 513 }, (_, piece) => want(piece));
  const tricks: readonly [string, (stream: RawAttendance) => void, string][] = [
    ['says no hello', (stream) => stream.say(undefined, want(0)), 'invalidArgument: the first frame has no hello'],
    [
      'sends bytes that are no frame',
      (stream) => stream.say(hello).send(Buffer.from([0xff, 0xff, 0xff])),
      'invalidArgument: a frame that is not of the protocol',
    ],
    [
      'sends more than 512 messages in a frame',
      (stream) => stream.say(hello, ...messages),
      'invalidArgument: more than 512 messages in a frame',
    ],
    [
      'sends a frame of more than 64 KiB',
      (stream) => stream.say(hello).send(Buffer.alloc(70_000)),
      'invalidArgument: a frame of 70000 bytes: at most 65536 are taken',
    ],
    [
      'announces a frame of 4 GiB',
      (stream) => stream.say(hello).sendRaw(Buffer.from([0, 0xff, 0xff, 0xff, 0xff])),
      'invalidArgument: a frame of 4294967295 bytes: at most 65536 are taken',
    ],
    [
      'compresses',
      (stream) => stream.say(hello).sendRaw(Buffer.from([1, 0, 0, 0, 1, 0])),
      'invalidArgument: a compressed frame: this service takes none',
    ],
    [
      'names no blob',
      (stream) => stream.say(hello, { ...want(0), blob: 'app:latest' }),
      'invalidArgument: blob is not the digest of a blob (sha256 or sha512)',
    ],
    [
      'names a piece beyond every blob',
      (stream) => stream.say(hello, want(2 ** 20)),
      'invalidArgument: piece is not an index of at most 1048575',
    ],
    [
      'sends a message of no known kind',
      (stream) => stream.say(hello).send(field(2, field(15, ''))),
      'invalidArgument: a message of no known kind',
    ],
    [
      'becomes somebody else',
      (stream) => stream.say(hello).say({ ...hello, id: 'agent-2' }),
      'invalidArgument: a hello with another id, address, zone or role: that takes a new stream',
    ],
    [
      'has the id of the shard',
      (stream) => stream.say({ ...hello, id: 'shard' }),
      'permissionDenied: the id is of the shard itself',
    ],
  ];

  test.each(tricks)('%s, and says why; others go on', async (_what, play, status) => {
    const shard = await startShard();
    const other = attend(shard)
      .read()
      .say({ ...hello, id: 'other' });
    await other.opened;
    const hostile = attend(shard).read();
    play(hostile);
    expect(await hostile.ended).toBe(status);
    expect(shard.server.stat().refused).toBe(1);
    await waitFor(() => shard.host.stat.agents === 1, { what: 'the end of the attendance' });
    other.say(undefined, want(1));
    await waitFor(() => other.received.length > 0, { what: 'a decision for the other' });
  });

  test('says nothing at all', async () => {
    const shard = await startShard({ helloTimeoutMs: 100 });
    expect(await attend(shard).read().ended).toBe('deadlineExceeded: no hello has come');
  });

  test('opens a connection without a stream', async () => {
    const shard = await startShard({ helloTimeoutMs: 100 });
    const { session, stream, opened } = attend(shard).say(hello);
    await opened;
    stream.close();
    await new Promise((resolve) => session.once('close', resolve));
    await waitFor(() => shard.server.stat().connections === 0, { what: 'the end of the connection' });
  });

  test('takes nothing of what it is told, after a while', async () => {
    const shard = await startShard({ silenceMs: 400 });
    const other = attend(shard)
      .read()
      .say({ ...hello, id: 'other' });
    const stuck = attend(shard, { window: 1_000 }).say(hello);
    await Promise.all([other.opened, stuck.opened]);
    // Beyond 1,024 wants each is answered at once: 20 KiB of answers for each of these frames.
    for (let frame = 0; frame < 5; frame += 1) {
      stuck.say(undefined, ...Array.from({ length: 400 }, (_, index) => want(frame * 400 + index)));
    }
    await waitFor(() => shard.server.stat().refused === 1, { what: 'the end of the stream' });
    await waitFor(() => shard.host.stat.agents === 1, { what: 'the end of the attendance' });
    expect(await stuck.ended).toBeUndefined();
  });

  test('takes nothing and asks for ever more, before the queue grows beyond its bound', async () => {
    const shard = await startShard();
    const stuck = attend(shard, { window: 1_000 }).say(hello);
    await stuck.opened;
    const round = encodeAgentFrame({
      messages: Array.from({ length: 200 }, (_, piece) => [
        want(piece),
        { kind: 'cancel', blob, piece } as const,
      ]).flat(),
    });
    for (let count = 0; count < 40; count += 1) stuck.send(round);
    await waitFor(() => shard.server.stat().refused === 1, { what: 'the end of the stream' });
    await waitFor(() => shard.host.stat.agents === 0, { what: 'the end of the attendance' });
  });

  test('is dead: no word of it has come, though it was asked', async () => {
    const shard = await startShard({ silenceMs: 400 });
    const wire = await openWire(scope, shard.address);
    await new RawAttendance(scope, wire.address).say(hello).opened;
    wire.freeze();
    await waitFor(() => shard.host.stat.agents === 0, { what: 'the end of the attendance' });
    await waitFor(() => shard.server.stat().connections === 0, { what: 'the end of the connection' });
  });

  test('is another service, or no gRPC at all', async () => {
    const shard = await startShard();
    const other = attend(shard, { headers: { ':path': '/shoal.swarm.v1.Directory/Leave' } });
    expect(await other.ended).toMatch(/^unimplemented: not served here/);
    const json = attend(shard, { headers: { 'content-type': 'application/json' } });
    expect(await json.ended).toBe('unimplemented: not a gRPC request');
    const get = attend(shard, { headers: { ':method': 'GET' } });
    expect(await get.ended).toBe('unimplemented: not a gRPC request');
  });
});

test('what is quiet is not dead: the stream of an agent with nothing to say stays', async () => {
  const silenceMs = 200;
  const shard = await startShard({ silenceMs });
  const stream = attend(shard).read().say(hello);
  await stream.opened;
  // Time is what this is about: three times as long as a dead one would be kept.
  await new Promise((resolve) => setTimeout(resolve, 3 * silenceMs));
  stream.say(undefined, want(0));
  await waitFor(() => stream.received.length > 0, { what: 'a decision' });
});

describe('a shard with certificates', () => {
  async function startTlsShard(): Promise<{ shard: DirectoryNode; authority: SwarmAuthority }> {
    const authority = await SwarmAuthority.create(scope);
    const certificates = await authority.issue('shard');
    return { shard: await startShard({ security: { kind: 'tls', certificates } }), authority };
  }

  test('serves who has one', async () => {
    const { shard, authority } = await startTlsShard();
    const stream = attend(shard, { certificates: await authority.issue('agent-1') })
      .read()
      .say(hello, want(0));
    await waitFor(() => stream.received.length > 0, { what: 'a decision' });
  });

  test('knows an id with a port by its host', async () => {
    const { shard, authority } = await startTlsShard();
    const certificates = await authority.issue('some-node', ['10.9.8.7']);
    const stream = attend(shard, { certificates }).say({ ...hello, id: '10.9.8.7:65001' });
    await stream.opened;
  });

  test('refuses an id that the certificate does not name', async () => {
    const { shard, authority } = await startTlsShard();
    const certificates = await authority.issue('agent-2', ['10.0.0.2']);
    const stream = attend(shard, { certificates }).read().say(hello, want(0));
    expect(await stream.ended).toBe('permissionDenied: its certificate names agent-2, 10.0.0.2, not agent-1');
    expect(stream.received).toEqual([]);
    expect(shard.server.stat().refused).toBe(1);
  });

  test('gives nothing to who has one of another authority, or none', async () => {
    const { shard } = await startTlsShard();
    const foreign = await SwarmAuthority.create(scope);
    const stranger = attend(shard, { certificates: await foreign.issue('agent-1') })
      .read()
      .say(hello, want(0));
    expect(await stranger.ended).toBeUndefined();
    const plain = attend(shard).read().say(hello, want(0));
    expect(await plain.ended).toBeUndefined();
    expect(shard.host.stat.agents).toBe(0);
    expect(shard.server.stat()).toEqual({ connections: 0, refused: 0 });
  });
});

test('frames that come in pieces are read', async () => {
  const shard = await startShard();
  const stream = attend(shard).read();
  for (const byte of withPrefix(encodeAgentFrame({ hello, messages: [want(0)] }))) stream.sendRaw(Buffer.from([byte]));
  await waitFor(() => stream.received.length > 0, { what: 'a decision' });
});
