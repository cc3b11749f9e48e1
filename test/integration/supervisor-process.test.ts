import { EventEmitter, once } from 'node:events';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type BackendCall, startGrpcBackend } from '../harness/grpc-backend.ts';
import { GrpcCaller } from '../harness/grpc-caller.ts';
import { childrenOf, type RunningProcess, start } from '../harness/process.ts';
import { field } from '../harness/protobuf.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';
import { waitFor } from '../harness/wait.ts';

const pullImage = '/runtime.v1.ImageService/PullImage';
const listImages = '/runtime.v1.ImageService/ListImages';
const request = field(1, field(1, 'registry.test/app:1'));
const main = path.join(import.meta.dirname, '../harness/supervisor-main.ts');

let scope: Scope;
let folder: string;
let listen: string;
/** Emits `pull` with each PullImage, which is left open for the test to answer. */
let runtime: EventEmitter;

beforeEach(async () => {
  scope = new Scope();
  folder = await temporaryFolder(scope, 'supervisor');
  listen = path.join(folder, 'shoal.sock');
  runtime = new EventEmitter();
  await startGrpcBackend(scope, path.join(folder, 'runtime.sock'), {
    [pullImage]: (call) => {
      call.on('data', () => runtime.emit('pull', call));
    },
    [listImages]: (call) => {
      call.on('data', (message: Buffer) => call.write(message));
      call.on('end', () => call.end());
    },
  });
});
afterEach(() => scope.close());

interface StartOptions {
  readonly env?: Record<string, string>;
  readonly launcher?: readonly [string, ...string[]];
  readonly engineCommand?: string;
}

function startSupervisor(options: StartOptions = {}): Promise<RunningProcess> {
  const arguments_ = [listen, path.join(folder, 'runtime.sock'), folder, options.engineCommand ?? process.execPath];
  const command = [...(options.launcher ?? []), process.execPath, main, ...arguments_];
  return start(
    scope,
    'supervisor',
    command as [string, ...string[]],
    options.env === undefined ? {} : { env: options.env },
  );
}

function lines(supervisor: RunningProcess, msg: string): Array<Record<string, unknown>> {
  return supervisor.output
    .split('\n')
    .filter((line) => line.includes(`"msg":"${msg}"`))
    .map((line) => JSON.parse(line));
}

const ready = (supervisor: RunningProcess, times = 1) =>
  supervisor.until(() => lines(supervisor, 'fake engine ready').length >= times, { what: `engine ${times}` });

async function answer(
  supervisor: RunningProcess,
  before: (call: BackendCall) => Promise<void> | void,
): Promise<number> {
  const caller = new GrpcCaller(scope, listen);
  const began = once(runtime, 'pull') as Promise<[BackendCall]>;
  const result = caller.call(pullImage, [request]);
  const [call] = await began;
  await before(call);
  call.write(Buffer.from('image'));
  call.end();
  const { code } = await result;
  // The supervisor may have ended by then.
  await waitFor(() => lines(supervisor, 'pull').length > 0, { what: "the pull's line" });
  return code;
}

function gone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}

describe('an engine killed in the middle of a pull', () => {
  test('leaves the pull successful and other calls undisturbed, and another one takes its place', async () => {
    const supervisor = await startSupervisor();
    await ready(supervisor);
    const [engine = 0] = await childrenOf(supervisor.pid);
    const code = await answer(supervisor, async () => {
      process.kill(engine, 'SIGKILL');
      const list = await new GrpcCaller(scope, listen).call(listImages, [Buffer.from('undisturbed')]);
      expect(list.messages.map(String)).toEqual(['undisturbed']);
    });
    expect(code).toBe(status.OK);
    expect(lines(supervisor, 'pull')[0]).toMatchObject({ result: 'ok', rule: 'test rule' });
    await ready(supervisor, 2);
    const [successor = 0] = await childrenOf(supervisor.pid);
    expect(successor).not.toBe(engine);
    expect(await answer(supervisor, () => undefined)).toBe(status.OK);
  });
});

test('an engine that cannot be started costs the acceleration alone, and is tried again', async () => {
  const supervisor = await startSupervisor({ engineCommand: '/does/not/exist' });
  const ended = 'the engine ended: pulls go on without acceleration until it is back';
  await supervisor.until(() => lines(supervisor, ended).length >= 2, { what: 'a second attempt' });
  expect(await answer(supervisor, () => undefined)).toBe(status.OK);
  expect(lines(supervisor, ended)[0]?.reason).toMatch(/ENOENT/);
  expect(Number(lines(supervisor, ended)[1]?.restartInMs)).toBeGreaterThan(100);
});

test('the engine gets the configuration, and nothing of what the service manager says to the supervisor', async () => {
  const supervisor = await startSupervisor({
    env: { NOTIFY_SOCKET: path.join(folder, 'nobody'), WATCHDOG_USEC: '60000000' },
  });
  await ready(supervisor);
  expect(lines(supervisor, 'fake engine ready')[0]).toMatchObject({ handover: '{"handed":"over"}', environment: [] });
});

test('a supervisor that is killed takes its engine along', async () => {
  const supervisor = await startSupervisor();
  await ready(supervisor);
  const [engine = 0] = await childrenOf(supervisor.pid);
  supervisor.kill('SIGKILL');
  await supervisor.exited;
  await waitFor(() => gone(engine), { what: "the engine's end" });
});

test('SIGTERM lets the pull in flight end, then ends the engine, and the process ends without an error', async () => {
  const supervisor = await startSupervisor();
  await ready(supervisor);
  const [engine = 0] = await childrenOf(supervisor.pid);
  const code = await answer(supervisor, async () => {
    supervisor.kill('SIGTERM');
    await supervisor.until(() => supervisor.output.includes('stopping'), { what: 'the drain' });
    expect(gone(engine)).toBe(false);
  });
  expect(code).toBe(status.OK);
  expect(await supervisor.exited).toEqual({ code: 0, signal: null });
  expect(gone(engine)).toBe(true);
});

describe('the service manager', () => {
  test('hears that it is ready, that it lives, and that it stops', async () => {
    const notify = path.join(folder, 'notify.sock');
    const manager = await start(scope, 'socat', ['socat', '-u', `UNIX-RECV:${notify}`, 'STDOUT']);
    await manager.until(() => isSocket(notify), { what: 'its socket' });
    const supervisor = await startSupervisor({ env: { NOTIFY_SOCKET: notify, WATCHDOG_USEC: '200000' } });
    await manager.until(() => /READY=1[\s\S]*WATCHDOG=1[\s\S]*WATCHDOG=1/.test(manager.output), { what: 'watchdog' });
    supervisor.kill('SIGTERM');
    await manager.until(() => manager.output.includes('STOPPING=1'), { what: 'STOPPING=1' });
    expect(await supervisor.exited).toEqual({ code: 0, signal: null });
  });

  test('may open the socket: calls that came before the supervisor are served, and the socket outlives it', async () => {
    const launcher = ['systemd-socket-activate', '--listen', listen] as const;
    const activated = await startSupervisor({ launcher: [...launcher] });
    const caller = new GrpcCaller(scope, listen);
    await waitFor(() => isSocket(listen), { what: 'the socket' });
    expect((await caller.call(listImages, [Buffer.from('early')])).messages.map(String)).toEqual(['early']);
    expect(lines(activated, 'serving')[0]).toMatchObject({ activated: true });
    activated.kill('SIGTERM');
    expect(await activated.exited).toEqual({ code: 0, signal: null });
    expect(await isSocket(listen)).toBe(true);
  });
});

async function isSocket(file: string): Promise<boolean> {
  return (await stat(file).catch(() => undefined))?.isSocket() ?? false;
}

describe('a bridge', () => {
  test('takes the socket from an agent that ends, and the next agent from the bridge; calls in flight end where they began', async () => {
    const first = await startSupervisor();
    await ready(first);
    const caller = new GrpcCaller(scope, listen);
    const list = (text: string) => new GrpcCaller(scope, listen).call(listImages, [Buffer.from(text)]);
    const began = once(runtime, 'pull') as Promise<[BackendCall]>;
    const pulled = caller.call(pullImage, [request]);
    const [pull] = await began;

    const bridge = await start(scope, 'bridge', [process.execPath, main, ...bridgeArguments(), '--bridge']);
    await bridge.until(() => lines(bridge, 'bridging').length > 0, { what: 'the bridge' });
    first.kill('SIGTERM');
    await first.until(() => first.output.includes('stopping'), { what: 'the drain' });
    expect((await list('bridged')).messages.map(String)).toEqual(['bridged']);
    pull.write(Buffer.from('image'));
    pull.end();
    expect((await pulled).code).toBe(status.OK);
    expect(await first.exited).toEqual({ code: 0, signal: null });
    expect((await list('still bridged')).messages.map(String)).toEqual(['still bridged']);

    const second = await startSupervisor();
    await ready(second);
    expect(await bridge.exited).toEqual({ code: 0, signal: null });
    expect((await list('whole again')).messages.map(String)).toEqual(['whole again']);
    expect((await readdir(folder)).sort()).toEqual(['engine.sock', 'runtime.sock', 'shoal.sock']);
    second.kill('SIGTERM');
    await second.exited;
    expect(await isSocket(listen)).toBe(false);
  });

  test('that was killed does not make the next agent take the socket from a third one', async () => {
    const bridge = await start(scope, 'bridge', [process.execPath, main, ...bridgeArguments(), '--bridge']);
    await bridge.until(() => lines(bridge, 'bridging').length > 0, { what: 'the bridge' });
    bridge.kill('SIGKILL');
    await bridge.exited;
    await ready(await startSupervisor());
    const intruder = await startSupervisor();
    expect((await intruder.exited).code).not.toBe(0);
    expect(intruder.output).toContain('another process serves');
  });
});

const bridgeArguments = (): string[] => [listen, path.join(folder, 'runtime.sock'), folder, ''];
