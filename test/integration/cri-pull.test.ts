import { EventEmitter, once } from 'node:events';
import path from 'node:path';
import { compressionAlgorithms, Metadata, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EngineClient } from '../../src/agent/engine-client.ts';
import { CriProxy } from '../../src/cri/proxy.ts';
import { FakeEngine } from '../harness/fake-engine.ts';
import { type BackendCall, pairsOf, startGrpcBackend } from '../harness/grpc-backend.ts';
import { GrpcCaller, observe } from '../harness/grpc-caller.ts';
import { keptLog } from '../harness/log-lines.ts';
import { field } from '../harness/protobuf.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

const pullImage = '/runtime.v1.ImageService/PullImage';
const abortPath = '/containerd.services.content.v1.Content/Abort';
const secret = 'hunter2-is-secret';
const request = Buffer.concat([
  field(1, field(1, 'registry.test/app:1')),
  field(2, Buffer.concat([field(1, 'me'), field(2, secret)])),
  field(3, field(1, Buffer.concat([field(1, 'web-0'), field(3, 'shop')]))),
  field(77, 'of a newer kubelet'),
]);
const answer = field(1, 'sha256:abc');
const digest = `sha256:${'a'.repeat(64)}`;
const poisoned = `failed commit on ref "layer-${digest}": unexpected commit digest sha256:b, expected ${digest}: failed precondition`;

/** A runtime whose pulls end one after the other as the list says. */
class PullingRuntime extends EventEmitter {
  readonly pulls: Array<{ body: Buffer; metadata: string[]; call: BackendCall }> = [];
  readonly aborted: Array<{ ref: string; namespace: string[] }> = [];
  outcomes: Array<'ok' | 'hang' | string> = ['ok'];

  pull(call: BackendCall): void {
    call.on('data', (body: Buffer) => {
      this.pulls.push({ body, metadata: pairsOf(call.metadata), call });
      const outcome = this.outcomes[this.pulls.length - 1] ?? 'ok';
      call.on('cancelled', () => this.emit('cancelled'));
      if (outcome === 'ok') {
        call.write(answer);
        call.end(new Metadata());
      } else if (outcome !== 'hang') {
        call.emit('error', { code: status.UNKNOWN, details: outcome });
      }
      this.emit('pull');
    });
  }

  abort(call: BackendCall): void {
    call.on('data', (body: Buffer) => {
      this.aborted.push({ ref: body.subarray(2).toString(), namespace: pairsOf(call.metadata) });
      call.write(Buffer.alloc(0));
      call.end();
    });
  }
}

let scope: Scope;
let engine: FakeEngine;
let runtime: PullingRuntime;
let caller: GrpcCaller;
let kept: ReturnType<typeof keptLog>;
let engineSocket: string;
let listen: string;

beforeEach(async () => {
  scope = new Scope();
  const folder = await temporaryFolder(scope, 'cri');
  const runtimeSocket = path.join(folder, 'runtime.sock');
  listen = path.join(folder, 'shoal.sock');
  engineSocket = path.join(folder, 'engine.sock');
  engine = new FakeEngine();
  scope.defer(() => engine.die());
  await engine.listen(engineSocket);
  runtime = new PullingRuntime();
  await startGrpcBackend(scope, runtimeSocket, {
    [pullImage]: (call) => runtime.pull(call),
    [pullImage.replace('v1', 'v1alpha2')]: (call) => runtime.pull(call),
    [abortPath]: (call) => runtime.abort(call),
  });
  kept = keptLog();
  const proxy = new CriProxy({ runtimeSocket, sessions: new EngineClient(engineSocket), log: kept.log });
  await proxy.listen({ path: listen });
  scope.defer(() => proxy.close(0));
  caller = new GrpcCaller(scope, listen);
});
afterEach(() => scope.close());

const valid = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const pull = (metadata?: Metadata) => caller.call(pullImage, [request], metadata);

describe('a pull', () => {
  test('reaches the runtime as it came, and its answer comes back, while the engine knows what is pulled', async () => {
    const metadata = new Metadata();
    metadata.set('x-newer', 'yes');
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    metadata.set('traceparent', traceparent);
    metadata.set('tracestate', 'a=1,b=2');
    const { code, messages } = await pull(metadata);
    expect(code).toBe(status.OK);
    expect(messages).toEqual([answer]);
    expect(runtime.pulls.map(({ body }) => body)).toEqual([request]);
    expect(runtime.pulls[0]?.metadata).toEqual(
      expect.arrayContaining(['x-newer: yes', `traceparent: ${traceparent}`, 'tracestate: a=1,b=2']),
    );
    expect(engine.messages[0]?.open).toMatchObject({
      image: 'registry.test/app:1',
      auth: { username: 'me', password: secret },
      podName: 'web-0',
      podNamespace: 'shop',
      traceparent,
      tracestate: 'a=1,b=2',
    });
  });

  test.each([
    ['no hex', ['nonsense'], ['a=1'], { traceparent: '', tracestate: '' }],
    ['an id of zeros', [`00-${'0'.repeat(32)}-00f067aa0ba902b7-01`], [], { traceparent: '', tracestate: '' }],
    ['two of them', [valid, valid], [], { traceparent: '', tracestate: '' }],
    ['a tracestate that is none', [valid], ['A=1'], { traceparent: valid, tracestate: '' }],
    ['a tracestate in two parts', [valid], ['a=1', 'b=2'], { traceparent: valid, tracestate: 'a=1,b=2' }],
    ['a long tracestate', [valid], [`a=1,b=${'v'.repeat(600)}`], { traceparent: valid, tracestate: '' }],
  ])(
    'whose trace has %s goes to the runtime as it came, and the engine hears what is valid',
    async (_, parents, states, heard) => {
      const metadata = new Metadata();
      for (const parent of parents) metadata.add('traceparent', parent);
      for (const state of states) metadata.add('tracestate', state);
      expect((await pull(metadata)).code).toBe(status.OK);
      const passed = runtime.pulls[0]?.metadata.filter((pair) => pair.startsWith('trace')).join('; ');
      // The runtime's side shows repeated metadata as one list.
      const sent = [
        `traceparent: ${parents.join(', ')}`,
        ...(states.length > 0 ? [`tracestate: ${states.join(', ')}`] : []),
      ];
      expect(passed).toBe(sent.join('; '));
      expect(engine.messages[0]?.open).toMatchObject(heard);
    },
  );

  test('of v1alpha2 is followed, too', async () => {
    await caller.call(pullImage.replace('v1', 'v1alpha2'), [request]);
    expect(engine.messages[0]?.open?.image).toBe('registry.test/app:1');
  });

  test('has one line in the log: image, pod, result, seconds, bytes by source, rule', async () => {
    await pull();
    expect(await kept.line('pull')).toMatchObject({
      level: 30,
      image: 'registry.test/app:1',
      pod: { namespace: 'shop', name: 'web-0' },
      result: 'ok',
      seconds: expect.any(Number),
      rule: 'test rule',
      bytes: { image: 5_000_000_000, memory: 0, disk: 0, peer: 2, origin: 3 },
    });
    expect(kept.lines.filter(({ msg }) => msg === 'pull')).toHaveLength(1);
  });

  test('that the engine declines goes on, and the log says why it was not accelerated', async () => {
    engine.script = { open: 'decline' };
    expect((await pull()).code).toBe(status.OK);
    expect(await kept.line('pull')).toMatchObject({ result: 'ok', notAccelerated: 'test reason' });
  });

  test.each(['hang', 'break'] as const)('goes on when the engine answers with: %s', async (open) => {
    engine.script = { open };
    expect((await pull()).code).toBe(status.OK);
    expect(await kept.line('pull')).toMatchObject({ result: 'ok', notAccelerated: expect.any(String) });
  });

  test('goes on when there is no engine, and is accelerated again as soon as there is one', async () => {
    engine.die();
    expect((await pull()).code).toBe(status.OK);
    expect(await kept.line('pull')).toMatchObject({ notAccelerated: expect.stringContaining('engine is away') });
    engine = new FakeEngine();
    await engine.listen(engineSocket);
    expect((await pull()).code).toBe(status.OK);
    expect(engine.messages).toHaveLength(2);
  });

  test('whose engine dies in the middle succeeds', async () => {
    runtime.outcomes = ['hang'];
    const result = pull();
    await once(runtime, 'pull');
    engine.die();
    runtime.pulls[0]?.call.write(answer);
    runtime.pulls[0]?.call.end();
    expect((await result).messages).toEqual([answer]);
  });

  test('that cannot be read goes to the runtime as it is', async () => {
    const garbage = Buffer.from([0xff, 0xff, 0xff]);
    expect((await caller.call(pullImage, [garbage])).code).toBe(status.OK);
    expect(runtime.pulls.map(({ body }) => body)).toEqual([garbage]);
    expect(engine.messages).toEqual([]);
  });

  test('beyond 16 MiB is not read, but goes to the runtime whole', async () => {
    runtime.outcomes = ['hang', 'ok'];
    const messages = [Buffer.alloc(16 * 1024 * 1024, 1), Buffer.alloc(1024 * 1024, 2)];
    expect((await caller.call(pullImage, messages)).messages).toEqual([answer]);
    expect(runtime.pulls.map(({ body }, at) => body.equals(messages[at] ?? Buffer.alloc(0)))).toEqual([true, true]);
    expect(engine.messages).toEqual([]);
  });

  test('with a compressed message is read and passed on compressed', async () => {
    caller = new GrpcCaller(scope, listen, { 'grpc.default_compression_algorithm': compressionAlgorithms.gzip });
    expect((await pull()).code).toBe(status.OK);
    expect(runtime.pulls.map(({ body }) => body)).toEqual([request]);
    expect(engine.messages[0]?.open?.image).toBe('registry.test/app:1');
  });

  test('that is cancelled is cancelled at the runtime and in the engine, and is not repeated', async () => {
    runtime.outcomes = ['hang'];
    const stream = caller.begin(pullImage);
    const observed = observe(stream);
    stream.write(request);
    stream.end();
    await once(runtime, 'pull');
    const cancelled = once(runtime, 'cancelled');
    stream.cancel();
    await cancelled;
    await engine.until(() => engine.closed === 1);
    expect((await observed).code).toBe(status.CANCELLED);
    expect(await kept.line('pull')).toMatchObject({ result: 'cancelled' });
    expect(runtime.pulls).toHaveLength(1);
    expect(engine.messages.map(({ message }) => message)).toEqual(['open']);
  });
});

describe('a pull that fails with Shoal in its path', () => {
  beforeEach(() => {
    engine.script = { open: 'accept', fallBack: 3, cause: 'a wrong byte' };
    runtime.outcomes = ['the first failed?X-Signature=abc', 'ok'];
  });

  test('is repeated once with the same bytes after the engine fell back, and the second answer counts', async () => {
    const { code, messages } = await pull();
    expect({ code, messages }).toEqual({ code: status.OK, messages: [answer] });
    expect(runtime.pulls.map(({ body }) => body)).toEqual([request, request]);
    expect(engine.messages.map(({ message }) => message).slice(0, 2)).toEqual(['open', 'fallBack']);
  });

  test('has the reason of the first failure in the log', async () => {
    await pull();
    expect(kept.lines.find(({ level }) => level === 40)).toMatchObject({
      image: 'registry.test/app:1',
      error: expect.stringContaining('the first failed'),
      cause: 'a wrong byte',
    });
    expect(await kept.line('pull')).toMatchObject({ result: 'ok', repeated: true });
  });

  test('fails with the second error when the plain pull fails, too', async () => {
    runtime.outcomes = ['first', 'RegistryUnavailable: second'];
    expect(await pull()).toMatchObject({ code: status.UNKNOWN, details: 'RegistryUnavailable: second' });
    expect(runtime.pulls).toHaveLength(2);
  });

  test.each(['hang', 'die'] as const)(
    'is repeated when the engine does this instead of falling back: %s',
    async (how) => {
      engine.script = { open: 'accept', fallBack: how };
      expect((await pull()).code).toBe(status.OK);
      expect(runtime.pulls).toHaveLength(2);
    },
  );

  test('has the download that broke forgotten by containerd before it is repeated', async () => {
    runtime.outcomes = [poisoned, 'ok'];
    expect((await pull()).code).toBe(status.OK);
    expect(runtime.aborted).toEqual([
      { ref: `layer-${digest}`, namespace: expect.arrayContaining(['containerd-namespace: k8s.io']) },
    ]);
  });

  test('is not repeated when the engine served nothing of it', async () => {
    engine.script = { open: 'accept', fallBack: 0 };
    expect(await pull()).toMatchObject({ code: status.UNKNOWN, details: 'the first failed?X-Signature=abc' });
    expect(runtime.pulls).toHaveLength(1);
  });

  test('is not repeated when the engine had declined it', async () => {
    engine.script = { open: 'decline' };
    expect((await pull()).code).toBe(status.UNKNOWN);
    expect(runtime.pulls).toHaveLength(1);
  });

  test('leaves no credential in any line of the log', async () => {
    await pull();
    await kept.line('pull');
    expect(JSON.stringify(kept.lines)).not.toContain(secret);
  });
});
