import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { listenAddress } from '../../../src/swarm/transfer/listen-address.ts';
import { looksPerWindow, ProgressRule } from '../../../src/swarm/transfer/progress-rule.ts';
import { WaitingLine } from '../../../src/swarm/transfer/waiting-line.ts';
import { TokenBucket } from '../../../src/token-bucket.ts';

describe('a rate limit', () => {
  test('lets bytes go in the order of asking, at exactly its rate', () => {
    const takes = fc.array(fc.record({ pause: fc.nat(2000), bytes: fc.integer({ min: 1, max: 5000 }) }), {
      minLength: 1,
      maxLength: 50,
    });
    fc.assert(
      fc.property(takes, (all) => {
        let now = 0;
        const rate = 1000;
        const burst = 500;
        const bucket = new TokenBucket({ rate, burst, now: () => now });
        let total = 0;
        let last = 0;
        for (const { pause, bytes } of all) {
          now += pause;
          const goes = now + bucket.take(bytes);
          total += bytes;
          expect(goes).toBeGreaterThanOrEqual(last - 1e-6);
          expect(total).toBeLessThanOrEqual(burst + (goes / 1000) * rate + 1e-6);
          last = goes;
        }
      }),
    );
  });

  test('delays nobody while less than it is used', () => {
    let now = 0;
    const bucket = new TokenBucket({ rate: 1000, burst: 100, now: () => now });
    for (let count = 0; count < 100; count += 1) {
      now += 100;
      expect(bucket.take(100)).toBe(0);
    }
  });

  test('lets others have what was taken and did not go', () => {
    const bucket = new TokenBucket({ rate: 1000, burst: 100, now: () => 0 });
    bucket.take(100);
    bucket.giveBack(100);
    expect(bucket.take(100)).toBe(0);
    expect(bucket.take(500)).toBe(500);
  });

  test('tells how long there is to wait, and takes nothing', () => {
    let now = 0;
    const bucket = new TokenBucket({ rate: 1, burst: 3, now: () => now });
    bucket.take(3);
    expect([bucket.wait(1), bucket.wait(1), bucket.wait(2)]).toEqual([1000, 1000, 2000]);
    now = 60_000;
    expect(bucket.wait(1)).toBe(0);
  });

  test('of nothing is refused: it would stop everything', () => {
    expect(() => new TokenBucket({ rate: 0, burst: 1, now: () => 0 })).toThrow(RangeError);
  });
});

describe('the rule of progress', () => {
  const look = (rule: ProgressRule, totals: readonly number[]): boolean[] => totals.map((total) => rule.look(total));

  test('ends a transfer that is silent for one window', () => {
    expect(look(new ProgressRule(100), [0, 0, 0, 0])).toEqual([true, true, true, false]);
  });

  test('ends a transfer that trickles', () => {
    const results = look(
      new ProgressRule(100),
      Array.from({ length: looksPerWindow }, (_, at) => at + 1),
    );
    expect(results.at(-1)).toBe(false);
  });

  test('ends a transfer that stops in the middle, one window after its last bytes', () => {
    const results = look(new ProgressRule(100), [100, 200, 300, 400, 400, 400, 400, 400]);
    expect(results).toEqual([true, true, true, true, true, true, true, false]);
  });

  test('lets a slow but steady transfer go on for as long as it takes', () => {
    const steady = Array.from({ length: 1000 }, (_, at) => (at + 1) * 25);
    expect(look(new ProgressRule(100), steady)).not.toContain(false);
  });

  test('bears pauses that are shorter than a window', () => {
    expect(look(new ProgressRule(100), [0, 0, 0, 400, 400, 400, 400 + 100])).not.toContain(false);
  });
});

describe('a waiting line', () => {
  test('lets in as many as its limit, the others in their order', async () => {
    const line = new WaitingLine(2);
    const order: number[] = [];
    const enter = async (who: number): Promise<void> => {
      await line.enter();
      order.push(who);
    };
    const all = [1, 2, 3, 4].map(enter);
    await Promise.all(all.slice(0, 2));
    expect(order).toEqual([1, 2]);
    line.leave();
    await all[2];
    line.leave();
    await all[3];
    expect(order).toEqual([1, 2, 3, 4]);
    expect(line.inside).toBe(2);
  });

  test('passes over who gave up, and loses no place by it', async () => {
    const line = new WaitingLine(1);
    await line.enter();
    const impatient = new AbortController();
    const first = line.enter(impatient.signal);
    const second = line.enter();
    impatient.abort(new Error('enough'));
    await expect(first).rejects.toThrow('enough');
    line.leave();
    await second;
    line.leave();
    expect(line.inside).toBe(0);
    await expect(line.enter(AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late');
    expect(line.inside).toBe(0);
  });

  test('can be sent home, all but those who are inside', async () => {
    const line = new WaitingLine(1);
    await line.enter();
    const waiting = [line.enter(), line.enter(new AbortController().signal)];
    line.dismiss(new Error('closed'));
    for (const result of await Promise.allSettled(waiting)) {
      expect(result).toMatchObject({ status: 'rejected', reason: { message: 'closed' } });
    }
    expect(line.inside).toBe(1);
    line.leave();
    await line.enter();
    expect(line.inside).toBe(1);
  });
});

describe('where pieces are served', () => {
  test('is loopback alone without certificates', () => {
    expect(listenAddress({ kind: 'loopback' })).toBe('127.0.0.1');
    expect(listenAddress({ kind: 'loopback' }, '::1')).toBe('::1');
  });

  test.each(['0.0.0.0', '::', '10.0.0.5', 'node-1'])('is never %s without certificates', (host) => {
    expect(() => listenAddress({ kind: 'loopback' }, host)).toThrow(/shoal certs.*p2p\.tls: off/);
  });

  test('is every address when an administrator turned TLS off', () => {
    expect(listenAddress({ kind: 'off' })).toBeUndefined();
    expect(listenAddress({ kind: 'off' }, '10.0.0.5')).toBe('10.0.0.5');
  });
});
