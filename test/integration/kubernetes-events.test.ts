import { describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { createKubernetesClient, defaultLimits } from '../../src/kubernetes/client.ts';
import type { PodEvent } from '../../src/kubernetes/event-queue.ts';
import { EventRecorder } from '../../src/kubernetes/event-recorder.ts';
import { eventsPath, type FakeKubernetesApi } from '../harness/kubernetes-api.ts';
import { kubernetesForEachTest } from '../harness/kubernetes-for-each-test.ts';
import { problemsOf } from '../harness/kubernetes-schemas.ts';
import { keptLog } from '../harness/log-lines.ts';
import type { Scope } from '../harness/scope.ts';

let scope: Scope;
let api: FakeKubernetesApi;
let kept: ReturnType<typeof keptLog>;

kubernetesForEachTest((started) => {
  ({ scope, api } = started);
  api.permissions.set('secret-token', ['create', 'patch']);
  kept = keptLog();
});

const event: PodEvent = {
  pod: { namespace: 'shop', name: 'cart-0', uid: '0a1b' },
  type: 'Normal',
  reason: 'ShoalPulled',
  subject: 'reg.test/app:v1',
  message: 'Pulled 1.2 GiB in 8.0 s: 94 % from 6 peers, 6 % from the registry. Image: reg.test/app:v1',
};

/** A recorder whose waits are short and the same in proportion. */
function recorder(answerMs = 5_000): EventRecorder {
  const started = new EventRecorder({
    client: createKubernetesClient(() => api.access(), { ...defaultLimits, answerMs }),
    source: { component: 'shoal', host: 'node-1' },
    clock: { ...systemClock, sleep: (ms, signal) => systemClock.sleep(ms / 100, signal) },
    wall: Date.now,
    log: kept.log,
  });
  scope.defer(() => started.close());
  return started;
}

/** The events as the API server has them. */
const written = () => api.names(eventsPath).map((name) => api.object(eventsPath, name));
const statuses = () => api.requests.map(({ verb, status }) => `${verb} ${status}`);

describe('an event', () => {
  test('is one that Kubernetes takes, and is counted up when it happens again', async () => {
    const events = recorder();
    events.record(event);
    await api.until(() => api.requests.length === 1);
    const [object] = written();
    expect(
      await problemsOf({ apiVersion: 'v1', kind: 'Event', ...object, metadata: object?.metadata ?? { name: '' } }),
    ).toEqual([]);
    expect(object).toMatchObject({
      metadata: { name: expect.stringMatching(/^cart-0\.[0-9a-f]{16}$/), namespace: 'shop' },
      involvedObject: { apiVersion: 'v1', kind: 'Pod', namespace: 'shop', name: 'cart-0', uid: '0a1b' },
      source: { component: 'shoal', host: 'node-1' },
      type: 'Normal',
      reason: 'ShoalPulled',
      message: event.message,
      count: 1,
    });
    events.record({ ...event, message: 'Pulled again' });
    await api.until(() => api.requests.length === 2);
    expect(statuses()).toEqual(['create 201', 'patch 200']);
    expect(written()).toMatchObject([{ count: 2, message: 'Pulled again', reason: 'ShoalPulled' }]);
  });

  test('waits while the API server has too much to do, as long as that says', async () => {
    const asked: number[] = [];
    api.intercept = (_request, response) => {
      asked.push(performance.now());
      if (asked.length > 2) return false;
      response.writeHead(429, { 'retry-after': '20' }).end('{"kind":"Status","code":429}');
      return true;
    };
    const events = recorder();
    events.record(event);
    await api.until(() => statuses().includes('create 201'));
    expect(asked).toHaveLength(3);
    // 20 s, a hundred times as fast.
    expect((asked[1] ?? 0) - (asked[0] ?? 0)).toBeGreaterThanOrEqual(199);
    expect(written()).toHaveLength(1);
  });

  test('outlives an outage: refused connections, 5xx, answers that never come', async () => {
    let asked = 0;
    api.intercept = (_request, response) => {
      asked += 1;
      if (asked === 1) response.destroy();
      else if (asked === 2) response.writeHead(503).end('<html>');
      else if (asked > 3) return false;
      return true;
    };
    const events = recorder(200);
    events.record(event);
    await api.until(() => statuses().includes('create 201'));
    expect(asked).toBe(4);
    expect(written()).toHaveLength(1);
    await kept.line('the Kubernetes API takes events again');
    expect(kept.lines).toHaveLength(2);
  });

  test('is not written twice when the answer to the first try got lost', async () => {
    let asked = 0;
    api.intercept = (request, response) => {
      asked += 1;
      if (asked > 1 || request.verb !== 'create') return false;
      // The object is made, and nobody is told.
      response.end = () => response.destroy();
      return false;
    };
    const events = recorder();
    events.record(event);
    await api.until(() => statuses().includes('create 409'));
    expect(written()).toHaveLength(1);
    await events.close();
    expect(events.counts).toEqual({ written: 1, lost: 0 });
  });

  test('that RBAC forbids is given up, with one line that names the rule', async () => {
    api.permissions.set('secret-token', ['list', 'watch']);
    const events = recorder();
    events.record(event);
    await api.until(() => api.requests.length === 1);
    const line = await kept.line(
      'RBAC lets Shoal write no events on pods; pulls are not affected. Grant the rule (docs/operations.md), or set kubernetes.events: false',
    );
    expect(line).toMatchObject({
      level: 40,
      namespace: 'shop',
      rule: expect.stringContaining('verbs: [create, patch]'),
    });
    for (let at = 0; at < 5; at += 1) events.record({ ...event, subject: `image ${at}` });
    await events.close();
    expect(api.requests).toHaveLength(1);
    expect(kept.lines).toHaveLength(1);
    expect(events.counts).toEqual({ written: 0, lost: 6 });
  });

  test('never holds up the end', async () => {
    api.intercept = () => true;
    const events = recorder();
    for (let at = 0; at < 5; at += 1) events.record({ ...event, subject: `image ${at}` });
    await api.until(() => api.requests.length === 1);
    await events.close();
    expect(events.counts.written).toBe(0);
  });
});
