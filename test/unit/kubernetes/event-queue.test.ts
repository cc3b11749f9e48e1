import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { eventContent, eventName } from '../../../src/kubernetes/event-content.ts';
import { judgeFailure } from '../../../src/kubernetes/event-failure.ts';
import { type CountedEvent, EventQueue, type PodEvent } from '../../../src/kubernetes/event-queue.ts';
import { KubernetesError, type KubernetesErrorKind } from '../../../src/kubernetes/types.ts';

const minute = 60_000;
const source = { component: 'shoal', host: 'node-1' };

const event = (pod: string, message = 'm', reason = 'ShoalPulled'): PodEvent => ({
  pod: { namespace: 'shop', name: pod, uid: `uid-${pod}` },
  type: 'Normal',
  reason,
  subject: 'reg.test/app:v1',
  message,
});

describe('the queue', () => {
  test('gives out what has waited longest, and joins what is the same', () => {
    const queue = new EventQueue();
    queue.add(event('a', 'first'), 1000);
    queue.add(event('b'), 2000);
    queue.add(event('a', 'second'), 3000);
    queue.add(event('a', 'other', 'ShoalFellBack'), 4000);
    expect(queue.take(5000)).toEqual({ ...event('a', 'second'), first: 1000, last: 3000, count: 2 });
    expect(queue.take(5000)).toMatchObject({ pod: { name: 'b' }, count: 1 });
    expect(queue.take(5000)).toMatchObject({ reason: 'ShoalFellBack' });
    expect(queue.take(5000)).toBeUndefined();
  });

  test('joins what comes while the same is being written, when that is put back', () => {
    const queue = new EventQueue();
    queue.add(event('a', 'old'), 1000);
    const taken = queue.take(1500);
    queue.add(event('a', 'new'), 2000);
    if (taken) queue.putBack(taken);
    expect(queue.take(3000)).toMatchObject({ message: 'new', first: 1000, last: 2000, count: 2 });
  });

  test('gives up what has waited for too long', () => {
    const queue = new EventQueue();
    queue.add(event('a'), 0);
    queue.add(event('b'), 5 * minute);
    expect(queue.take(11 * minute)).toMatchObject({ pod: { name: 'b' } });
    expect(queue.lost).toBe(1);
  });

  test('remembers what was written until the API server deletes it', () => {
    const queue = new EventQueue();
    const written = { name: 'a.1', first: 0, last: minute, count: 2 };
    queue.wrote(event('a'), written);
    expect(queue.writtenAs(event('a', 'other words'), 10 * minute)).toEqual(written);
    expect(queue.writtenAs(event('b'), 10 * minute)).toBeUndefined();
    expect(queue.writtenAs(event('a'), 70 * minute)).toBeUndefined();
    queue.forget(event('a'));
    expect(queue.writtenAs(event('a'), 10 * minute)).toBeUndefined();
  });

  test('stays bounded, and loses no count', () => {
    const step = fc.record({ pod: fc.nat(600), take: fc.boolean(), back: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 1500, size: 'max' }), (steps) => {
        const queue = new EventQueue();
        let added = 0;
        let written = 0;
        for (const { pod, take, back } of steps) {
          queue.add(event(String(pod)), added);
          added += 1;
          const taken = take ? queue.take(added) : undefined;
          if (taken && back) queue.putBack(taken);
          else if (taken) written += taken.count;
          expect(queue.length).toBeLessThanOrEqual(256);
        }
        for (let left = queue.take(added); left; left = queue.take(added)) written += left.count;
        expect(written + queue.lost).toBe(added);
      }),
      { numRuns: 30 },
    );
  });
});

describe('an event', () => {
  const counted: CountedEvent = { ...event('cart-0'), first: 1_000_400, last: 2_000_400, count: 3 };

  test('is written as core/v1 has it', () => {
    expect(eventContent(counted, 'cart-0.1', source)).toEqual({
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: 'cart-0.1', namespace: 'shop' },
      involvedObject: { apiVersion: 'v1', kind: 'Pod', namespace: 'shop', name: 'cart-0', uid: 'uid-cart-0' },
      type: 'Normal',
      reason: 'ShoalPulled',
      message: 'm',
      source,
      reportingComponent: 'shoal',
      reportingInstance: 'node-1',
      firstTimestamp: '1970-01-01T00:16:40Z',
      lastTimestamp: '1970-01-01T00:33:20Z',
      count: 3,
    });
  });

  test('has one line of at most 1024 characters', () => {
    const { message } = eventContent({ ...counted, message: `a\r\n\u0000b${'c'.repeat(2000)}` }, 'n', source);
    expect(message).toMatch(/^a bc+…$/);
    expect(message).toHaveLength(1024);
  });

  test('has a name of its own that the API server takes, the same at each try', () => {
    expect(eventName(counted, source)).toBe(eventName({ ...counted, last: 9, count: 9, message: 'x' }, source));
    const others = [
      eventName({ ...counted, first: 1 }, source),
      eventName({ ...counted, subject: 'other' }, source),
      eventName(counted, { ...source, host: 'node-2' }),
    ];
    expect(new Set([eventName(counted, source), ...others]).size).toBe(4);
    const long = eventName(
      { ...counted, pod: { ...counted.pod, name: `${'a'.repeat(235)}.${'b'.repeat(17)}` } },
      source,
    );
    expect(long).toMatch(/^a{235}\.[0-9a-f]{16}$/);
    expect(long.length).toBeLessThanOrEqual(253);
  });
});

describe('a failure', () => {
  const of = (kind: KubernetesErrorKind, message = '', retryAfterMs?: number) =>
    new KubernetesError(kind, message, { retryAfterMs });

  test.each([
    ['unavailable', 'create', { kind: 'retry', waitMs: 0 }],
    ['unauthorized', 'create', { kind: 'retry', waitMs: 0 }],
    ['configuration', 'create', { kind: 'retry', waitMs: 0 }],
    ['conflict', 'create', { kind: 'there' }],
    ['conflict', 'patch', { kind: 'retry', waitMs: 0 }],
    ['not-found', 'patch', { kind: 'missing' }],
    ['not-found', 'create', { kind: 'refused', usual: true }],
    ['forbidden', 'create', { kind: 'forbidden' }],
    ['invalid', 'create', { kind: 'refused', usual: false }],
  ] as const)('%s of a %s', (kind, verb, expected) => {
    expect(judgeFailure(of(kind), verb)).toEqual(expected);
  });

  test('with Retry-After waits as long, up to a minute', () => {
    expect(judgeFailure(of('rate-limited', '', 7000), 'create')).toEqual({ kind: 'retry', waitMs: 7000 });
    expect(judgeFailure(of('rate-limited', '', 99_999_000), 'create')).toEqual({ kind: 'retry', waitMs: 60_000 });
  });

  test('of a namespace that is being deleted is none of RBAC', () => {
    const message = 'unable to create new content in namespace shop because it is being terminated';
    expect(judgeFailure(of('forbidden', message), 'create')).toEqual({ kind: 'refused', usual: true });
  });
});
