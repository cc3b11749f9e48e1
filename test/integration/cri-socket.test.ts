import { EventEmitter, once } from 'node:events';
import { mkdir, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http2';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import { Metadata, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CriProxy } from '../../src/cri/proxy.ts';
import { type BackendCall, startGrpcBackend } from '../harness/grpc-backend.ts';
import { GrpcCaller, observe } from '../harness/grpc-caller.ts';
import { keptLog } from '../harness/log-lines.ts';
import { run, start } from '../harness/process.ts';
import { noSessions } from '../harness/pull-sessions.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

const echo = '/runtime.v1.ImageService/ListImages';

let scope: Scope;
let folder: string;
let runtimeSocket: string;
let listen: string;

beforeEach(async () => {
  scope = new Scope();
  folder = await temporaryFolder(scope, 'cri');
  runtimeSocket = path.join(folder, 'runtime.sock');
  listen = path.join(folder, 'shoal.sock');
});
afterEach(() => scope.close());

function newProxy(): CriProxy {
  const proxy = new CriProxy({ runtimeSocket, sessions: noSessions, log: keptLog().log });
  scope.defer(() => proxy.close(0));
  return proxy;
}

const answering = (call: BackendCall): void => {
  call.on('data', (message: Buffer) => call.write(message));
  call.on('end', () => call.end());
};
const startRuntime = (handle = answering) => startGrpcBackend(scope, runtimeSocket, { [echo]: handle });

/** A socket file whose process is gone. */
async function leaveStaleSocket(): Promise<void> {
  const script = `require('node:net').createServer().listen(process.argv[1], () => console.log('bound'))`;
  const owner = await start(scope, 'owner', [process.execPath, '-e', script, listen]);
  await owner.until(() => owner.output.includes('bound'), { what: 'its socket' });
  owner.kill('SIGKILL');
  await owner.exited;
}

describe('the socket', () => {
  test('is made with its folder, and with mode 0660 whatever the umask', async () => {
    const nested = path.join(folder, 'a/b/shoal.sock');
    await newProxy().listen({ path: nested });
    expect((await stat(nested)).mode & 0o777).toBe(0o660);
  });

  test('of a process that was killed is replaced', async () => {
    await leaveStaleSocket();
    await startRuntime();
    await newProxy().listen({ path: listen });
    expect((await new GrpcCaller(scope, listen).call(echo, [Buffer.from('x')])).code).toBe(status.OK);
  });

  test('that another process serves is refused, in words that say so, and stays served', async () => {
    await startRuntime();
    await newProxy().listen({ path: listen });
    await expect(newProxy().listen({ path: listen })).rejects.toThrow(/another process serves .*shoal\.sock: stop it/);
    expect((await new GrpcCaller(scope, listen).call(echo, [Buffer.from('x')])).code).toBe(status.OK);
  });

  test('is let go of by a client that has not called yet when the proxy ends', async () => {
    const proxy = newProxy();
    await proxy.listen({ path: listen });
    const client = connect(listen);
    scope.defer(() => client.destroy());
    // Its first SETTINGS: the connection was accepted.
    await once(client, 'data');
    const closed = once(client, 'close');
    await proxy.close(60_000);
    await closed;
  });

  test('is closed to a client that speaks something else', async () => {
    await newProxy().listen({ path: listen });
    const client = connect(listen);
    scope.defer(() => client.destroy());
    client.write('GET / HTTP/1.1\r\n\r\n');
    client.resume();
    await once(client, 'close');
  });

  test.each([
    ['a file', () => writeFile(listen, 'precious')],
    ['a folder', () => mkdir(listen)],
    ['a link', () => symlink('/etc/passwd', listen)],
  ])('is not put in the place of %s', async (_what, make) => {
    await make();
    await expect(newProxy().listen({ path: listen })).rejects.toThrow(/is no socket: remove it/);
  });
});

describe('a runtime that is away', () => {
  test('makes a call UNAVAILABLE in words that name its socket, and serves the first call after its return', async () => {
    await newProxy().listen({ path: listen });
    const caller = new GrpcCaller(scope, listen);
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const refused = await caller.call(echo, [Buffer.from('x')]);
      expect(refused.code).toBe(status.UNAVAILABLE);
      expect(refused.details).toMatch(/container runtime does not answer on .*runtime\.sock .*is it running/);
    }
    await startRuntime();
    expect((await caller.call(echo, [Buffer.from('x')])).code).toBe(status.OK);
  });

  test('in the middle of calls makes them UNAVAILABLE, and the next call is served by the new one', async () => {
    await newProxy().listen({ path: listen });
    const held = new Set<string>();
    const both = Promise.withResolvers<void>();
    const connections: Socket[] = [];
    const dying = createServer();
    dying.on('connection', (connection: Socket) => connections.push(connection));
    dying.on('stream', (stream, headers) => {
      stream.on('error', () => undefined);
      // One call has had nothing of its answer, the other one a part.
      if (headers['x-answer'] !== undefined) stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      held.add(String(headers['x-answer']));
      if (held.size === 2) both.resolve();
    });
    dying.listen(runtimeSocket);
    await once(dying, 'listening');
    const caller = new GrpcCaller(scope, listen);
    const answered = new Metadata();
    answered.set('x-answer', 'part');
    const calls = [caller.begin(echo), caller.begin(echo, answered)];
    const begun = once(calls[1] ?? new EventEmitter(), 'metadata');
    const ends = calls.map(observe);
    await Promise.all([both.promise, begun]);
    dying.close();
    for (const connection of connections) connection.destroy();
    for (const end of await Promise.all(ends)) {
      expect(end.code).toBe(status.UNAVAILABLE);
      expect(end.details).toMatch(/connection to the container runtime .* broke/);
    }
    await startRuntime();
    expect((await caller.call(echo, [Buffer.from('again')])).messages.map(String)).toEqual(['again']);
  });
});

describe('the end', () => {
  test('waits for calls in flight and takes no new ones', async () => {
    const begun = Promise.withResolvers<BackendCall>();
    await startRuntime((call) => begun.resolve(call));
    const proxy = newProxy();
    await proxy.listen({ path: listen });
    const stream = new GrpcCaller(scope, listen).begin(echo);
    const observed = observe(stream);
    stream.write(Buffer.from('x'));
    stream.end();
    const call = await begun.promise;
    const closed = proxy.close(60_000);
    expect((await new GrpcCaller(scope, listen).call(echo, [])).code).toBe(status.UNAVAILABLE);
    call.write(Buffer.from('late'));
    call.end();
    expect((await observed).messages.map(String)).toEqual(['late']);
    await closed;
  });

  test('comes for calls in flight, too, when their time is up', async () => {
    const begun = Promise.withResolvers<void>();
    await startRuntime(() => begun.resolve());
    const proxy = newProxy();
    await proxy.listen({ path: listen });
    const observed = observe(new GrpcCaller(scope, listen).begin(echo));
    await begun.promise;
    await proxy.close(50);
    expect((await observed).code).not.toBe(status.OK);
  });

  test('leaves no socket file behind', async () => {
    const proxy = newProxy();
    await proxy.listen({ path: listen });
    await proxy.close(0);
    expect(await run(['find', folder, '-name', 'shoal.sock'])).toBe('');
  });
});
