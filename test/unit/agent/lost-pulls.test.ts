import { expect, test } from 'vitest';
import { type LostPullMessage, LostPulls } from '../../../src/agent/lost-pulls.ts';
import type { PullOutcome } from '../../../src/cri/pull-log.ts';
import { keptLog } from '../../harness/log-lines.ts';

const outcome: PullOutcome = {
  request: {
    image: 'reg.test/app:v1',
    auth: { username: 'u', password: 'p', auth: '', serverAddress: '', identityToken: '', registryToken: '' },
    pod: { name: 'cart-0', namespace: 'shop', uid: 'uid-1', labels: {}, annotations: {} },
  },
  decision: { kind: 'accepted', rule: 'r' },
  answer: { kind: 'refused', code: 2, message: 'no space left' },
  seconds: 8.1,
  summary: undefined,
  repeated: 'engine',
};

function pulls(tell: (pull: LostPullMessage) => Promise<void>) {
  const life = { state: 'restarting', since: '', restarts: 1, lastEnd: 'signal SIGSEGV' } as const;
  return new LostPulls({ life: () => life, wall: () => 1_000_000, tell, log: keptLog().log });
}

test('the next engine hears of a pull that was lost, of how it ended, and of no credentials', () => {
  const told: LostPullMessage[] = [];
  const lost = pulls(async (pull) => void told.push(pull));
  lost.pulled(outcome);
  lost.pulled({ ...outcome, lost: true });
  expect(told).toEqual([
    {
      ...{ image: 'reg.test/app:v1', rule: 'r', podName: 'cart-0', podNamespace: 'shop', podUid: 'uid-1' },
      ...{ began: 991_900, elapsed: 8_100, outcome: { ok: false, error: 'no space left' }, repeated: true },
      cause: "Shoal's engine went away during the pull (it ended with signal SIGSEGV)",
    },
  ]);
});

test('while no engine comes a bounded number of them waits', async () => {
  const waiting: PromiseWithResolvers<void>[] = [];
  const lost = pulls(() => {
    const next = Promise.withResolvers<void>();
    waiting.push(next);
    return next.promise;
  });
  for (let count = 0; count < 100; count += 1) lost.pulled({ ...outcome, lost: true });
  expect(waiting).toHaveLength(64);
  waiting[0]?.reject(new Error('none came'));
  await new Promise((resolve) => setImmediate(resolve));
  lost.pulled({ ...outcome, lost: true });
  expect(waiting).toHaveLength(65);
});
