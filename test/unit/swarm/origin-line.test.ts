import { describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/clock.ts';
import { leasesFor, OriginLine } from '../../../src/swarm/origin-line.ts';

const never = new AbortController().signal;

describe('how many leases a node should have', () => {
  test.each([
    ['nothing was measured', 0, 0, 4],
    ['bytes come at once', 0, 100, 4],
    ['half of a fetch is waiting', 50, 100, 8],
    ['nearly all of it is waiting', 95, 100, 16],
    ['all of it is waiting', 100, 100, 16],
    ['the wait is one in a queue', 1_000, 2_000, 5],
  ])('where %s', (_, latency, duration, leases) => {
    expect(leasesFor(4, latency, duration)).toBe(leases);
  });
});

describe("a node's fetches from the origin", () => {
  function line() {
    const changes: number[] = [];
    const clock = { ...systemClock, time: 0, now: () => clock.time };
    return {
      changes,
      clock,
      line: new OriginLine({ limits: { leases: 1 }, clock, changed: (leases) => changes.push(leases) }),
    };
  }

  test('ask for no lease after a failure', async () => {
    const { line: origin, changes } = line();
    await expect(origin.run(() => Promise.reject(new Error('no route')), never)).rejects.toThrow('no route');
    expect(changes).toEqual([0]);
    origin.close();
  });

  test('take a fetch that was ended by its own signal for no failure', async () => {
    const { line: origin, changes } = line();
    const abort = new AbortController();
    await expect(
      origin.run(() => {
        abort.abort();
        return Promise.reject(new Error('aborted'));
      }, abort.signal),
    ).rejects.toThrow('aborted');
    expect(changes).toEqual([]);
    origin.close();
  });

  test('run side by side up to a bound, the others wait for their turn', async () => {
    const { line: origin } = line();
    const gates = Array.from({ length: 5 }, () => Promise.withResolvers<void>());
    let running = 0;
    const runs = gates.map(({ promise }) =>
      origin.run(() => {
        running += 1;
        return promise;
      }, never),
    );
    await Promise.resolve();
    expect(running).toBe(4);
    gates[0]?.resolve();
    await runs[0];
    expect(running).toBe(5);
    for (const { resolve } of gates) resolve();
    await Promise.all(runs);
    origin.close();
  });

  test('become more where fetches are mostly waiting for their first byte', async () => {
    const { line: origin, changes, clock } = line();
    for (let fetch = 0; fetch < 20; fetch += 1) {
      await origin.run(async (firstByte) => {
        clock.time += 30;
        firstByte();
        clock.time += 10;
      }, never);
    }
    expect(changes.at(-1)).toBe(4);
    origin.close();
  });
});
