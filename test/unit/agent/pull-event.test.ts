import { expect, test } from 'vitest';
import { podEventOf } from '../../../src/agent/pull-event.ts';
import { PullHistory } from '../../../src/pull/history.ts';
import type { ByteSource, ObservedPull, PullOutcome } from '../../../src/pull/observer.ts';
import type { PullDetail } from '../../../src/pull/pull-record.ts';
import { PullError } from '../../../src/pull/types.ts';

const MiB = 1024 * 1024;
const pod = { namespace: 'shop', name: 'cart-0', uid: 'uid-1' };
const image = 'reg.test/app:v1';
const ok = { result: 'ok' } as const;

interface Course {
  /** MiB by source and sender. */
  readonly pieces?: readonly (readonly [source: ByteSource, mebibytes: number, from?: string])[];
  readonly pod?: ObservedPull['pod'];
  readonly image?: string;
  readonly seconds?: number;
  readonly fallBack?: string | true;
  readonly outcome?: PullOutcome;
}

/** What the history knows of a pull that went so. */
function pullOf(course: Course): PullDetail {
  let now = 0;
  const ended: PullDetail[] = [];
  const history = new PullHistory({
    blockBytes: 262_144,
    now: () => now,
    wall: () => 0,
    onEnd: (pull) => ended.push(pull),
  });
  const trace = history.opened({
    image: course.image ?? image,
    rule: 'r',
    ...('pod' in course ? course.pod && { pod: course.pod } : { pod }),
  });
  for (const [source, mebibytes, from] of course.pieces ?? []) {
    trace.piece({ digest: 'sha256:a', index: 0, bytes: mebibytes * MiB, source, ...(from !== undefined && { from }) });
  }
  now = (course.seconds ?? 8) * 1000;
  if (typeof course.fallBack === 'string') trace.failed(new PullError('unavailable', course.fallBack));
  if (course.fallBack) trace.fellBack();
  trace.ended(course.outcome ?? ok);
  const [pull] = ended;
  if (pull === undefined) throw new Error('the pull has not ended');
  return pull;
}

const sixPeers = Array.from({ length: 6 }, (_, at) => ['peer', 188, `node-${at}`] as const);

test('tells bytes, time, and who gave them, the largest first', () => {
  const pieces = [...sixPeers, ['origin', 72, 'reg.test'] as const];
  expect(podEventOf(pullOf({ pieces, seconds: 8.04 }))).toEqual({
    pod,
    subject: image,
    type: 'Normal',
    reason: 'ShoalPulled',
    message: 'Pulled 1.2 GiB in 8.0 s: 94 % from 6 peers, 6 % from the registry. Image: reg.test/app:v1',
  });
});

test.each<[string, Course['pieces'], string]>([
  ['the registry alone', [['origin', 10, 'reg.test']], '10.0 MiB in 8.0 s: 100 % from the registry'],
  ['one peer', [['peer', 10, 'a']], '10.0 MiB in 8.0 s: 100 % from 1 peer'],
  [
    'mirrors and both tiers of the cache',
    [
      ['mirror', 50, 'm1'],
      ['mirror', 10, 'm2'],
      ['memory', 25],
      ['disk', 15],
    ],
    "100.0 MiB in 8.0 s: 60 % from 2 mirrors, 40 % from this node's cache",
  ],
  [
    'a trace of the registry',
    [
      ['peer', 999, 'a'],
      ['origin', 1, 'reg.test'],
    ],
    '1000.0 MiB in 8.0 s: 99.9 % from 1 peer, 0.1 % from the registry',
  ],
])('names %s', (_, pieces = [], text) => {
  expect(podEventOf(pullOf({ pieces }))?.message).toBe(`Pulled ${text}. Image: ${image}`);
});

test('warns of a fall back, with the cause that Shoal knows and how the second try ended', () => {
  const fallBack = 'reg.test: 503 while reading sha256:a';
  expect(podEventOf(pullOf({ fallBack }))).toMatchObject({
    type: 'Warning',
    reason: 'ShoalFellBack',
    message: `Pulled again without Shoal, which succeeded after 8.0 s. Cause: ${fallBack}. Image: ${image}`,
  });
  const failed = pullOf({ fallBack, outcome: { result: 'failed', error: 'no space left' } });
  expect(podEventOf(failed)?.message).toBe(
    `Pulled again without Shoal, which failed, too, after 8.0 s. Cause: ${fallBack}. Image: ${image}`,
  );
  expect(podEventOf(pullOf({ fallBack: true }))?.message).toContain('Cause: not known.');
});

test.each<[string, Course]>([
  ['no pod', { pod: undefined, pieces: sixPeers }],
  ['a pod without a UID', { pod: { namespace: 'shop', name: 'cart-0' }, pieces: sixPeers }],
  ['a name that no pod can have', { pod: { ...pod, name: '../../secrets' }, pieces: sixPeers }],
  ['a namespace that can be none', { pod: { ...pod, namespace: 'kube-system/x' }, pieces: sixPeers }],
  ['nothing that came through Shoal', {}],
  ['a failure that is not Shoal’s', { pieces: sixPeers, outcome: { result: 'failed', error: 'no space left' } }],
  ['a caller that went away', { pieces: sixPeers, outcome: { result: 'cancelled' } }],
])('says nothing of a pull with %s', (_, course) => {
  expect(podEventOf(pullOf(course))).toBeUndefined();
});

test('stays short, whatever the image is called and went wrong', () => {
  const event = podEventOf(pullOf({ image: `reg.test/${'a'.repeat(5000)}`, fallBack: 'b'.repeat(5000) }));
  expect(event?.message.length).toBeLessThan(1000);
});

test.each([
  [true, ok, /^Pulled again without Shoal, which succeeded after 8\.0 s\. Cause: the engine ended\. Image: /],
  [false, ok, /^Pulled on without Shoal, which succeeded after 8\.0 s\. Cause: the engine ended\. Image: /],
  [
    true,
    { result: 'failed', error: 'no space left' } as const,
    /^Pulled again without Shoal, which failed, too, after 8\.0 s\. Cause: the engine ended\. Image: /,
  ],
])('warns of an engine that died under the pull: repeated %s, %j', (repeated, outcome, message) => {
  const ended: PullDetail[] = [];
  const history = new PullHistory({
    blockBytes: 262_144,
    now: () => 0,
    wall: () => 0,
    onEnd: (pull) => ended.push(pull),
  });
  history.lost({
    pull: { image, rule: 'r', pod },
    began: 0,
    elapsedMs: 8_000,
    outcome,
    repeated,
    cause: 'the engine ended',
  });
  expect(ended.map(podEventOf)).toMatchObject([
    { pod, type: 'Warning', reason: 'ShoalFellBack', message: expect.stringMatching(message) },
  ]);
});
