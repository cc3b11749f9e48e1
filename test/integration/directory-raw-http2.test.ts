import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ClientStream } from '../../src/swarm/directory-service/client-stream.ts';
import { encodeAgentFrame, encodeShardFrame } from '../../src/swarm/directory-service/codec.ts';
import { attendPath, withPrefix } from '../../src/swarm/directory-service/framing.ts';
import { Liveness } from '../../src/swarm/port/liveness.ts';
import { RawAttendance } from '../harness/attendance.ts';
import { DirectoryNodes } from '../harness/directory-nodes.ts';
import { helloOf } from '../harness/hello.ts';
import { frame, frameFlags, frameTypes, indexed, literal, preface } from '../harness/http2-frames.ts';
import { Scope } from '../harness/scope.ts';
import { waitFor } from '../harness/wait.ts';

/** What no HTTP/2 library would send: frames in an order, and at a moment, that take the other side by surprise. */

const hello = helloOf('agent-1');
const blob = `sha256:${'ab'.repeat(32)}`;
const goaway = 0x7;
const settings = frame(frameTypes.settings, 0, 0, Buffer.alloc(0));
const settingsAck = frame(frameTypes.settings, 1, 0, Buffer.alloc(0));

let scope: Scope;
let swarm: DirectoryNodes;
beforeEach(() => {
  scope = new Scope();
  swarm = new DirectoryNodes(scope);
});
afterEach(() => scope.close());

function headers(stream: number, path: string, flags = 0): Buffer {
  // :method POST, :scheme http, :authority, :path, content-type (RFC 7541, appendix A).
  const block = [indexed(3), indexed(6), literal(1, 'shard'), literal(4, path), literal(31, 'application/grpc')];
  return frame(frameTypes.headers, frameFlags.endHeaders | flags, stream, Buffer.concat(block));
}

function data(stream: number, payload: Buffer, flags = 0): Buffer {
  return frame(frameTypes.data, flags, stream, payload);
}

function reset(stream: number): Buffer {
  return frame(frameTypes.rstStream, 0, stream, Buffer.from([0, 0, 0, 8]));
}

const greeting = withPrefix(encodeAgentFrame({ hello, messages: [] }));
const asking = withPrefix(
  encodeAgentFrame({
    messages: Array.from({ length: 100 }, (_, piece) => ({
      kind: 'want' as const,
      blob,
      piece,
      lease: true,
      urgent: true,
      source: 'registry.test/app',
    })),
  }),
);

/** One stream's life, with every way to end it in the wrong moment. */
const breath = (stream: number): fc.Arbitrary<Buffer[]> =>
  fc
    .record({
      path: fc.constantFrom(attendPath, attendPath, '/another.Service/Method'),
      said: fc.subarray([greeting, asking, withPrefix(Buffer.from([0xff])), Buffer.from([1, 0, 0])]),
      end: fc.constantFrom('reset', 'half-closed', 'open'),
    })
    .map(({ path, said, end }) => [
      headers(stream, path),
      ...said.map((payload) => data(stream, payload)),
      ...(end === 'reset' ? [reset(stream)] : end === 'half-closed' ? [data(stream, Buffer.alloc(0), 1)] : []),
    ]);

test('a shard survives streams that are taken back in the same breath, in whatever order', async () => {
  const [shard] = await swarm.start(['shard'], { role: 'scheduler' });
  const port = Number(shard?.address.split(':')[1]);
  await fc.assert(
    fc.asyncProperty(
      fc.tuple(breath(1), breath(3), breath(5)).map((breaths) => breaths.flat()),
      fc.boolean(),
      async (frames, cut) => {
        const socket = connect(port, '127.0.0.1');
        socket.on('error', () => undefined);
        socket.write(Buffer.concat([preface, settings, settingsAck, ...frames]), () => {
          if (cut) socket.resetAndDestroy();
        });
        if (!cut) await once(socket, 'data');
        socket.destroy();
      },
    ),
    { numRuns: 200 },
  );
  await waitFor(() => shard?.server.stat().connections === 0, { what: 'the end of the connections' });
  await waitFor(() => shard?.host.stat.agents === 0, { what: 'the end of the attendances' });
  await new RawAttendance(scope, shard?.address ?? '').say(hello).opened;
});

test('a shard that goes away in the moment in which it is reached is one that failed', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    // Last stream 0, no error.
    socket.write(Buffer.concat([settings, settingsAck, frame(goaway, 0, 0, Buffer.alloc(8))]));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.defer(() => server.close());
  const { port } = server.address() as { port: number };
  swarm.members.push({ id: 'leaving', address: `127.0.0.1:${port}`, zone: '', role: 'agent' });
  const [node] = await swarm.start(['node-1'], { connectTimeoutMs: 2_000 });
  await waitFor(() => (node?.links.state.failures ?? 0) > 0, { what: 'the failure' });
  for (const piece of [0, 32, 64, 96]) node?.want(blob, piece);
  for (const piece of [0, 32, 64, 96]) expect(await node?.decisionOn(blob, piece)).toMatchObject({ kind: 'lease' });
});

/** A shard that sends what is in `played`: early before the agent's request can have come, late after it. */
async function startPlayer(played: { readonly early: readonly Buffer[]; readonly late: readonly Buffer[] }) {
  const server = createServer((socket) => {
    const { early, late } = played;
    socket.on('error', () => undefined);
    socket.write(Buffer.concat([settings, ...early]));
    // Its request comes after the settings' acknowledgement, or with it.
    socket.once('data', () => socket.once('data', () => socket.end(Buffer.concat(late))));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.defer(() => server.close());
  const { port } = server.address() as { port: number };
  const liveness = new Liveness(10_000);
  scope.defer(() => liveness.close());
  const stands = vi.fn();
  /** Why the stream to it failed: each reason. */
  const attend = async (): Promise<readonly string[]> => {
    const reasons: string[] = [];
    await new Promise<void>((resolve) => {
      new ClientStream({
        shard: { id: 'shard', address: `127.0.0.1:${port}` },
        security: { kind: 'loopback' },
        hello: () => hello,
        connectTimeoutMs: 5_000,
        patienceMs: 5_000,
        liveness,
        opened: () => undefined,
        stands,
        receive: (message) => expect(message).toEqual({ kind: 'alone', blob, piece: 0 }),
        failed: (reason) => {
          reasons.push(reason);
          resolve();
        },
      });
    });
    await new Promise((resolve) => setImmediate(resolve));
    return reasons;
  };
  return { attend, liveness, stands };
}

test('a shard that says without end whether it decides is given up', async () => {
  const answer = frame(
    frameTypes.headers,
    frameFlags.endHeaders,
    1,
    Buffer.concat([indexed(8), literal(31, 'application/grpc')]),
  );
  const standing = (index: number): Buffer =>
    data(1, withPrefix(encodeShardFrame({ standing: index % 2 === 0 ? 'resigned' : 'decides', messages: [] })));
  const { attend, stands } = await startPlayer({
    early: [],
    late: [answer, ...Array.from({ length: 9 }, (_, index) => standing(index))],
  });
  expect(await attend()).toEqual(['it breaks the protocol: it says too often whether it decides']);
  expect(stands.mock.calls).toEqual([['resigned'], ['decides'], ['resigned'], ['decides']]);
});

test('an agent survives whatever a shard answers, and each try at a stream fails once, with a reason', async () => {
  // :status 200, content-type (RFC 7541, appendix A).
  const answer = Buffer.concat([indexed(8), literal(31, 'application/grpc')]);
  const trailers = Buffer.concat([literal('grpc-status', '13'), literal('grpc-message', '%ff%zz')]);
  const decided = withPrefix(encodeShardFrame({ messages: [{ kind: 'alone', blob, piece: 0 }] }));
  const frames = fc.array(
    fc.constantFrom(
      frame(frameTypes.headers, frameFlags.endHeaders, 1, answer),
      frame(frameTypes.headers, frameFlags.endHeaders | frameFlags.endStream, 1, answer),
      frame(frameTypes.headers, frameFlags.endHeaders | frameFlags.endStream, 1, Buffer.concat([answer, trailers])),
      frame(frameTypes.headers, frameFlags.endHeaders | frameFlags.endStream, 1, trailers),
      frame(frameTypes.headers, frameFlags.endHeaders, 1, indexed(13)),
      data(1, decided),
      data(1, withPrefix(encodeShardFrame({ standing: 'resigned', messages: [] }))),
      data(1, withPrefix(Buffer.from([0xff]))),
      data(1, Buffer.from([0, 0xff, 0xff, 0xff, 0xff])),
      data(1, Buffer.alloc(0), frameFlags.endStream),
      reset(1),
      frame(goaway, 0, 0, Buffer.alloc(8)),
      headers(2, attendPath),
      frame(frameTypes.data, 0, 0, Buffer.from('of no stream')),
    ),
    { maxLength: 6 },
  );
  const played = { early: [] as Buffer[], late: [] as Buffer[] };
  const { attend, liveness } = await startPlayer(played);
  await fc.assert(
    fc.asyncProperty(frames, frames, fc.boolean(), async (early, late, isEarly) => {
      played.early = isEarly ? early : [];
      played.late = late;
      expect(await attend()).toEqual([expect.stringMatching(/^[\x20-\x7e]+$/)]);
    }),
    { numRuns: 200 },
  );
  await waitFor(() => liveness.size === 0, { what: 'the end of the sessions' });
});
