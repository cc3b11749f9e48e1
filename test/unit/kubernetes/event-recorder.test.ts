import { afterEach, beforeEach, expect, test } from 'vitest';
import type { PodEvent } from '../../../src/kubernetes/event-queue.ts';
import { EventRecorder } from '../../../src/kubernetes/event-recorder.ts';
import { type Content, KubernetesError, type Resource } from '../../../src/kubernetes/types.ts';
import { keptLog } from '../../harness/log-lines.ts';
import { ManualClock } from '../../harness/manual-clock.ts';
import { Scope } from '../../harness/scope.ts';

interface Asked {
  readonly verb: 'create' | 'patch';
  readonly path: string;
  readonly name: string;
  readonly content: Content;
}

/** An API server that fails as often as it is told. */
class ScriptedApi {
  readonly asked: Asked[] = [];
  failures: unknown[] = [];
  hang = false;
  closed = 0;
  readonly #waiting = new Set<() => void>();

  create = (resource: Resource, content: Content, signal: AbortSignal) =>
    this.#answer({ verb: 'create', path: resource.path, name: nameOf(content), content }, signal);

  patch = (resource: Resource, name: string, content: Content, signal: AbortSignal) =>
    this.#answer({ verb: 'patch', path: resource.path, name, content }, signal);

  close = async () => {
    this.closed += 1;
  };

  async until(count: number): Promise<void> {
    while (this.asked.length < count) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  async #answer(asked: Asked, signal: AbortSignal) {
    this.asked.push(asked);
    for (const wake of this.#waiting) wake();
    if (this.hang) await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    return { namespace: 'shop', name: asked.name, resourceVersion: '1', content: asked.content };
  }
}

const nameOf = (content: Content) => (content.metadata as { readonly name: string }).name;
const away = () => new KubernetesError('unavailable', 'create events: 503');

const event = (pod: string, namespace = 'shop'): PodEvent => ({
  pod: { namespace, name: pod, uid: `uid-${pod}` },
  type: 'Normal',
  reason: 'ShoalPulled',
  subject: 'reg.test/app:v1',
  message: 'Pulled',
});

let scope: Scope;
let api: ScriptedApi;
let clock: ManualClock;
let kept: ReturnType<typeof keptLog>;
let recorder: EventRecorder;

beforeEach(() => {
  scope = new Scope();
  api = new ScriptedApi();
  clock = new ManualClock();
  kept = keptLog();
  recorder = new EventRecorder({
    client: api,
    source: { component: 'shoal', host: 'node-1' },
    clock,
    wall: () => clock.now(),
    log: kept.log,
  });
});
afterEach(() => scope.close());

/** What is asked for after `count` requests, once all of them were answered. */
async function after(count: number): Promise<Asked[]> {
  await api.until(count);
  await new Promise(setImmediate);
  return api.asked;
}

test('writes an event, and counts it up when it happens again', async () => {
  recorder.record(event('a'));
  await after(1);
  recorder.record(event('a'));
  recorder.record(event('a'));
  const [first, second] = await after(2);
  expect(first).toMatchObject({ verb: 'create', path: '/api/v1/namespaces/shop/events', content: { count: 1 } });
  expect(second).toMatchObject({ verb: 'patch', name: first?.name, content: { count: 3, message: 'Pulled' } });
  expect(Object.keys(second?.content ?? {}).sort()).toEqual(['count', 'firstTimestamp', 'lastTimestamp', 'message']);
  expect(recorder.counts).toEqual({ written: 3, lost: 0 });
});

test('creates it anew when it is not there any more', async () => {
  recorder.record(event('a'));
  await after(1);
  api.failures = [new KubernetesError('not-found', 'patch events: 404')];
  recorder.record(event('a'));
  const asked = await after(3);
  expect(asked.map(({ verb }) => verb)).toEqual(['create', 'patch', 'create']);
});

test('writes a burst at once, and one a second after that', async () => {
  for (let at = 0; at < 20; at += 1) recorder.record(event(`pod-${at}`));
  await after(16);
  await clock.asleep();
  expect(api.asked).toHaveLength(16);
  for (let at = 17; at <= 20; at += 1) {
    await clock.next();
    expect(await after(at)).toHaveLength(at);
  }
  expect(clock.sleeps).toEqual([1000, 1000, 1000, 1000]);
});

test('waits longer after each failure, tells of the first and of the end, and loses nothing', async () => {
  clock.chance = 1;
  api.failures = [away(), away(), away()];
  recorder.record(event('a'));
  for (let at = 0; at < 3; at += 1) await clock.next();
  const asked = await after(4);
  expect(clock.sleeps).toEqual([1000, 2000, 4000]);
  expect(new Set(asked.map(({ name }) => name)).size).toBe(1);
  expect(recorder.counts).toEqual({ written: 1, lost: 0 });
  const told = kept.lines.map(({ msg }) => msg);
  expect(told).toEqual([
    'the Kubernetes API takes no events: pulls go on, the events wait',
    'the Kubernetes API takes events again',
  ]);
});

test('waits as long as the API server asks', async () => {
  api.failures = [new KubernetesError('rate-limited', '429', { retryAfterMs: 17_000 })];
  recorder.record(event('a'));
  await clock.next();
  await after(2);
  expect(clock.sleeps).toEqual([17_000]);
});

test('takes an event that is there already for the one whose answer got lost', async () => {
  api.failures = [away(), new KubernetesError('conflict', 'create events: 409')];
  recorder.record(event('a'));
  await clock.next();
  await after(2);
  expect(recorder.counts).toEqual({ written: 1, lost: 0 });
});

test('gives up what the API server does not take for ten minutes', async () => {
  api.failures = Array.from({ length: 100 }, away);
  recorder.record(event('a'));
  while (recorder.counts.lost === 0) {
    await clock.next();
    await new Promise(setImmediate);
  }
  expect(clock.now()).toBeGreaterThan(10 * 60_000);
  expect(clock.now()).toBeLessThan(12 * 60_000);
});

test('says once which rule is missing, and leaves the namespace alone for ten minutes', async () => {
  const forbidden = () => new KubernetesError('forbidden', 'User "shoal" cannot create resource "events"');
  api.failures = [forbidden(), forbidden()];
  recorder.record(event('a', 'one'));
  recorder.record(event('b', 'two'));
  await after(2);
  recorder.record(event('c', 'one'));
  recorder.record(event('d', 'three'));
  expect((await after(3)).map(({ path }) => path)).toEqual(
    ['one', 'two', 'three'].map((name) => `/api/v1/namespaces/${name}/events`),
  );
  expect(recorder.counts).toEqual({ written: 1, lost: 3 });
  expect(kept.lines).toHaveLength(1);
  expect(kept.lines[0]).toMatchObject({
    namespace: 'one',
    rule: 'rules: [{apiGroups: [""], resources: [events], verbs: [create, patch]}]',
    reason: expect.stringContaining('cannot create'),
    msg: expect.stringMatching(/RBAC.*pulls are not affected/),
  });
  clock.sleep(10 * 60_000, undefined).catch(() => {});
  await clock.next();
  recorder.record(event('e', 'one'));
  await after(4);
  expect(recorder.counts).toEqual({ written: 2, lost: 3 });
});

test('drops what the API server refuses for good, and goes on', async () => {
  api.failures = [new KubernetesError('invalid', '422'), new Error('bug')];
  for (const pod of ['a', 'b', 'c']) recorder.record(event(pod));
  await after(3);
  expect(recorder.counts).toEqual({ written: 1, lost: 2 });
  expect(kept.lines).toHaveLength(1);
});

test('writes at its end what waits, without the pace', async () => {
  for (let at = 0; at < 20; at += 1) recorder.record(event(`pod-${at}`));
  await after(16);
  await recorder.close();
  expect(api.asked).toHaveLength(20);
  expect(api.closed).toBe(1);
  recorder.record(event('late'));
  await new Promise(setImmediate);
  expect(api.asked).toHaveLength(20);
});

test('ends within a second, even when the API server hangs', async () => {
  api.hang = true;
  recorder.record(event('a'));
  await api.until(1);
  const closing = recorder.close();
  await clock.next();
  await closing;
  expect(clock.now()).toBe(1000);
  expect(recorder.counts).toEqual({ written: 0, lost: 1 });
});

test('ends at once while it waits after a failure', async () => {
  api.failures = Array.from({ length: 10 }, away);
  recorder.record(event('a'));
  await api.until(1);
  await clock.asleep();
  await recorder.close();
  expect(api.asked).toHaveLength(2);
});
