import path from 'node:path';
import {
  Client,
  type ClientDuplexStream,
  credentials,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
} from '@grpc/grpc-js';
import { loadSync, type MethodDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { packageRoot } from '../../src/paths.ts';
import { DirectoryNodes } from '../harness/directory-nodes.ts';
import { Scope } from '../harness/scope.ts';
import { SwarmAuthority } from '../harness/swarm-certificates.ts';
import { waitFor } from '../harness/wait.ts';

/** The wire is gRPC: what others have written of it speaks with ours, in both directions. */

const blob = `sha256:${'ab'.repeat(32)}`;
const definitions = loadSync(path.join(packageRoot, 'proto/swarm.proto'), {
  defaults: true,
  oneofs: true,
  enums: String,
});
const service = definitions['shoal.swarm.v1.Directory'] as ServiceDefinition;
const attend = service.Attend as MethodDefinition<object, object>;

let scope: Scope;
let swarm: DirectoryNodes;
beforeEach(() => {
  scope = new Scope();
  swarm = new DirectoryNodes(scope);
});
afterEach(() => scope.close());

function call(client: Client): ClientDuplexStream<object, object> {
  const stream = client.makeBidiStreamRequest(attend.path, attend.requestSerialize, attend.responseDeserialize);
  stream.on('error', () => undefined);
  scope.defer(() => client.close());
  return stream;
}

const hello = {
  id: 'agent-1',
  address: '10.0.0.1:65001',
  zone: '',
  role: 'ROLE_AGENT',
  slots: 12,
  leases: 0,
};
const want = { want: { blob, piece: 3, lease: true, urgent: false, source: 'registry.test/app' } };

describe("grpc-js' client at our shard", () => {
  test('is served', async () => {
    const [shard] = await swarm.start(['shard'], { role: 'scheduler' });
    const stream = call(new Client(shard?.address ?? '', credentials.createInsecure()));
    stream.write({ hello, messages: [want] });
    const answer = await new Promise((resolve) => stream.once('data', resolve));
    expect(answer).toMatchObject({ messages: [{ lease: { blob, piece: 3 } }] });
    stream.end();
    expect(await new Promise((resolve) => stream.once('status', resolve))).toMatchObject({ code: 0 });
  });

  test('is served over mutual TLS', async () => {
    const authority = await SwarmAuthority.create(scope);
    const certificates = await authority.issue('shard');
    const [shard] = await swarm.start(['shard'], { role: 'scheduler', security: { kind: 'tls', certificates } });
    const { pem } = await authority.issue('agent-1');
    const channel = credentials.createSsl(pem.ca, pem.key, pem.certificate);
    const stream = call(new Client(shard?.address ?? '', channel));
    stream.write({ hello, messages: [want] });
    const answer = await new Promise((resolve) => stream.once('data', resolve));
    expect(answer).toMatchObject({ messages: [{ lease: { blob, piece: 3 } }] });
  });

  test('reads why it is refused', async () => {
    const [shard] = await swarm.start(['shard'], { role: 'scheduler' });
    const stream = call(new Client(shard?.address ?? '', credentials.createInsecure()));
    stream.resume();
    stream.write({ hello: { ...hello, slots: 0 }, messages: [] });
    const status = await new Promise((resolve) => stream.once('status', resolve));
    expect(status).toMatchObject({ code: 3, details: 'slots is not 1 to 4096' });
  });
});

describe("our links at grpc-js' server", () => {
  async function serve(handler: (stream: ServerDuplexStream<object, object>) => void): Promise<string> {
    const server = new Server();
    server.addService({ Attend: attend }, { Attend: handler });
    scope.defer(() => server.forceShutdown());
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    return `127.0.0.1:${port}`;
  }

  test('say hello, ask, and take what is decided', async () => {
    const frames: unknown[] = [];
    const address = await serve((stream) => {
      stream.on('data', (frame: { readonly messages: readonly object[] }) => {
        frames.push(frame);
        if (frames.length === 1) stream.write({ messages: [] });
        else stream.write({ messages: [{ lease: { blob, piece: 3, source: 'registry.test/app' } }] });
      });
    });
    swarm.members.push({ id: 'scheduler-1', address, zone: '', role: 'scheduler' });
    const [node] = await swarm.start(['node-1']);
    await node?.linked(1);
    node?.want(blob, 3);
    expect(await node?.decisionOn(blob, 3)).toMatchObject({ kind: 'lease' });
    expect(frames).toMatchObject([{ hello: { id: 'node-1', slots: 12 } }, { messages: [want] }]);
  });

  test('tell why they were refused, and what breaks the protocol', async () => {
    let answers = 0;
    const address = await serve((stream) => {
      answers += 1;
      if (answers === 1) stream.emit('error', { code: 8, details: 'full up' });
      else stream.write({ messages: [{ lease: { blob: 'app:latest', piece: 3, source: 'registry.test/app' } }] });
    });
    swarm.members.push({ id: 'scheduler-1', address, zone: '', role: 'scheduler' });
    const [node] = await swarm.start(['node-1']);
    const reasons = (): unknown[] => (node?.linksLog.lines ?? []).map(({ reason }) => reason);
    await waitFor(() => reasons().length >= 2, { what: 'two failures' });
    expect(reasons().slice(0, 2)).toEqual([
      'resourceExhausted: full up',
      'it breaks the protocol: blob is not the digest of a blob (sha256 or sha512)',
    ]);
  });
});
