import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/clock.ts';
import { parseRetryAfter, TransientError } from '../../../src/registry/failure.ts';
import { RetryBudget, type RetryLimits, retrying } from '../../../src/registry/retry.ts';
import { RegistryError } from '../../../src/registry/types.ts';

const limits: RetryLimits = { fruitless: 4, total: 6, waitMs: 5_000, patienceMs: 30_000, firstWaitMs: 100 };
const frozen = { now: () => 0, random: () => 1 };

describe('a retry budget', () => {
  test('waits twice as long after each fruitless try, and gives up after the last', () => {
    const budget = new RetryBudget(limits, frozen);
    expect([1, 2, 3, 4].map(() => budget.failed(undefined))).toEqual([100, 200, 400, undefined]);
  });

  test('takes off up to half of a wait by chance', () => {
    expect(new RetryBudget(limits, { now: () => 0, random: () => 0 }).failed(undefined)).toBe(50);
  });

  test('begins anew when there was progress, but not for ever', () => {
    const budget = new RetryBudget(limits, frozen);
    const waits = Array.from({ length: 6 }, () => {
      budget.progressed();
      return budget.failed(undefined);
    });
    expect(waits).toEqual([100, 100, 100, 100, 100, undefined]);
  });

  test('waits as long as the registry asks, when that is within the bound', () => {
    expect(new RetryBudget(limits, frozen).failed(2_000)).toBe(2_000);
    expect(new RetryBudget(limits, frozen).failed(5_001)).toBeUndefined();
    const budget = new RetryBudget(limits, frozen);
    expect([budget.failed(3_000), budget.failed(3_000)]).toEqual([3_000, undefined]);
  });

  test('starts no new try when nothing came for too long', () => {
    let now = 0;
    const budget = new RetryBudget(limits, { now: () => now, random: () => 1 });
    now = 29_999;
    expect(budget.failed(undefined)).toBe(100);
    now = 30_000;
    expect(budget.failed(undefined)).toBeUndefined();
  });

  test('never waits longer in all than its bound, whatever happens', () => {
    const event = fc.oneof(fc.constant('progress' as const), fc.option(fc.integer({ min: 0, max: 100_000 })));
    fc.assert(
      fc.property(fc.array(event, { maxLength: 50 }), (events) => {
        const budget = new RetryBudget(limits, frozen);
        let waited = 0;
        for (const each of events) {
          if (each === 'progress') budget.progressed();
          else {
            const wait = budget.failed(each ?? undefined);
            if (wait === undefined) break;
            waited += wait;
          }
        }
        expect(waited).toBeLessThanOrEqual(limits.waitMs);
      }),
    );
  });
});

describe('retrying', () => {
  const transient = new TransientError('unavailable', 'cut');
  const clock = { sleep: async () => {} };
  const ignore = () => {};

  test('repeats what is transient until it succeeds', async () => {
    let tries = 0;
    const attempt = async () => {
      tries += 1;
      if (tries < 3) throw transient;
      return 'done';
    };
    await expect(retrying(attempt, new RetryBudget(limits, frozen), clock, undefined, ignore)).resolves.toBe('done');
    expect(tries).toBe(3);
  });

  test('rejects at once with what is not, and with the last error when the budget is spent', async () => {
    const lasting = new RegistryError('not-found', 'no');
    const budget = () => new RetryBudget(limits, frozen);
    await expect(retrying(() => Promise.reject(lasting), budget(), clock, undefined, ignore)).rejects.toBe(lasting);
    const waits: number[] = [];
    const remember = (_: unknown, wait: number) => waits.push(wait);
    await expect(retrying(() => Promise.reject(transient), budget(), clock, undefined, remember)).rejects.toBe(
      transient,
    );
    expect(waits).toEqual([100, 200, 400]);
  });

  test('stops waiting when it is aborted, with the reason', async () => {
    const abort = new AbortController();
    const reason = new Error('no longer wanted');
    const onRetry = () => abort.abort(reason);
    const attempt = () => Promise.reject(new TransientError('rate-limited', 'slow down', { retryAfterMs: 4_000 }));
    const done = retrying(attempt, new RetryBudget(limits, frozen), systemClock, abort.signal, onRetry);
    await expect(done).rejects.toBe(reason);
  });
});

describe('Retry-After', () => {
  test.each([
    [undefined, undefined],
    ['0', 0],
    ['7', 7_000],
    [' 7 ', 7_000],
    ['Thu, 01 Jan 1970 00:00:10 GMT', 9_000],
    ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
    ['soon', undefined],
    ['99999999999999999999', undefined],
  ])('%s, a second after the epoch, is %s ms', (value, expected) => {
    expect(parseRetryAfter(value, 1_000)).toBe(expected);
  });
});
