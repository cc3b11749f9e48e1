import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { restartBackoff } from '../../../src/agent/engine-process.ts';
import { activatedSocket, childEnvironment, watchdogInterval } from '../../../src/agent/systemd.ts';

describe('the socket that the service manager passes', () => {
  test('is descriptor 3', () => expect(activatedSocket({ LISTEN_PID: '7', LISTEN_FDS: '1' }, 7)).toBe(3));

  test.each([
    ['there is none', {}],
    ['it is for another process', { LISTEN_PID: '8', LISTEN_FDS: '1' }],
    ['their number is 0', { LISTEN_PID: '7', LISTEN_FDS: '0' }],
  ])('is not taken when %s', (_when, environment) => expect(activatedSocket(environment, 7)).toBeUndefined());

  test.each(['2', '-1', 'many'])('is refused when there are %s of them', (count) =>
    expect(() => activatedSocket({ LISTEN_PID: '7', LISTEN_FDS: count }, 7)).toThrow(/exactly one ListenStream/),
  );
});

test('children hear nothing of what the service manager says to this process', () => {
  const environment = { PATH: '/bin', LISTEN_PID: '7', LISTEN_FDS: '1', LISTEN_FDNAMES: 'x', NOTIFY_SOCKET: '/n' };
  expect(childEnvironment({ ...environment, WATCHDOG_PID: '7', WATCHDOG_USEC: '1' })).toEqual({ PATH: '/bin' });
});

describe('the watchdog', () => {
  test('is fed twice in its time', () => expect(watchdogInterval({ WATCHDOG_USEC: '30000000' }, 7)).toBe(15_000));

  test.each([
    ['there is none', {}],
    ['it is for another process', { WATCHDOG_USEC: '1000', WATCHDOG_PID: '8' }],
    ['its time is no number', { WATCHDOG_USEC: 'soon' }],
  ])('is left alone when %s', (_when, environment) => expect(watchdogInterval(environment, 7)).toBeUndefined());
});

describe('the pause before the engine is started again', () => {
  test('doubles from 0.2 s, ends at 30 s, and is 0.2 s again after an engine that lived', () => {
    const backoff = restartBackoff(() => 1);
    const pauses = Array.from({ length: 1000 }, () => backoff.failed());
    expect([1, 2, 3, 8, 9, 1000].map((failures) => pauses[failures - 1])).toEqual([
      200, 400, 800, 25_600, 30_000, 30_000,
    ]);
    backoff.succeeded();
    expect(backoff.failed()).toBe(200);
  });

  test('is shortened by chance, by half at most', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), fc.double({ min: 0, max: 1, noNaN: true }), (failures, random) => {
        const full = restartBackoff(() => 1);
        const shortened = restartBackoff(() => random);
        for (let failure = 0; failure < failures; failure += 1) {
          const longest = full.failed();
          const delay = shortened.failed();
          expect(delay).toBeLessThanOrEqual(longest);
          expect(delay).toBeGreaterThanOrEqual(longest / 2);
        }
      }),
    );
  });
});
