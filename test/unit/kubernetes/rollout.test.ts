import { expect, test } from 'vitest';
import { rolloutOf } from '../../../src/kubernetes/rollout.ts';

const rollout = (generation: number, status: object) =>
  rolloutOf({ namespace: '', name: 'a', resourceVersion: '1', content: { metadata: { generation }, status } });

test.each([
  ['nothing is known yet', {}, { done: false, ready: 0, wanted: 0 }],
  [
    'the counts are of the former template',
    { observedGeneration: 1, desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberAvailable: 3 },
    { done: false, ready: 0, wanted: 3 },
  ],
  [
    'one pod is of the former template',
    { observedGeneration: 2, desiredNumberScheduled: 3, updatedNumberScheduled: 2, numberAvailable: 3 },
    { done: false, ready: 2, wanted: 3 },
  ],
  [
    'one pod is not ready',
    { observedGeneration: 2, desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberAvailable: 2 },
    { done: false, ready: 2, wanted: 3 },
  ],
  [
    'all are there',
    { observedGeneration: 2, desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberAvailable: 3 },
    { done: true, ready: 3, wanted: 3 },
  ],
  ['there is no node', { observedGeneration: 2 }, { done: true, ready: 0, wanted: 0 }],
])('a rollout when %s', (_, status, expected) => {
  expect(rollout(2, status)).toEqual(expected);
});
