import { expect, test } from 'vitest';
import type { NodeStatus } from '../../../src/agent/telemetry.ts';
import { describeStatus } from '../../../src/cli/status.ts';

/** What the text looks at. */
function status(engine: object, restarts = 0): NodeStatus {
  const life = { state: 'running', since: '', restarts, lastEnd: 'signal SIGSEGV' };
  return {
    ...{ version: '1.2.3', ready: true, conditions: [], supervisor: { pulls: [], engine: life } },
    engine: { process: { startedAt: 0 }, conditions: [], ...engine },
  } as unknown as NodeStatus;
}

test.each([
  [{}, 'no wrong bytes'],
  [{ pulls: { bytes: {}, mismatches: 2 } }, 'wrong bytes in 2 whole blobs: not handed out, fetched again'],
  [
    { store: { memory: {}, hits: {}, corrupt: 1 }, swarm: { upload: {}, failures: { corrupt: 3 } } },
    'wrong bytes in 1 pieces on the disk, 3 pieces from peers: not handed out, fetched again',
  ],
])('tells whether checks found wrong bytes', (engine, says) => {
  expect(describeStatus(status(engine), 1000)).toMatch(new RegExp(`\\nchecks +${says}$`));
});

test('tells how often the engine was started anew', () => {
  expect(describeStatus(status({}, 1), 1000)).toContain('restarted once, last after signal SIGSEGV');
  expect(describeStatus(status({}, 3), 1000)).toContain('restarted 3 times, last after signal SIGSEGV');
});
