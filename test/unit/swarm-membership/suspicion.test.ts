import { describe, expect, test } from 'vitest';
import { Suspicion } from '../../../src/swarm/membership/suspicion.ts';

const nobody = new Set<string>();
/** Without chance: the waits are exactly 1 s, 2 s, 4 s. */
const newSuspicion = () =>
  new Suspicion({ firstProbeMs: 1_000, longestProbeMs: 4_000, probationMs: 60_000, random: () => 1 });

describe('a suspected member', () => {
  test('is suspected at once, and told as new only once', () => {
    const suspicion = newSuspicion();
    expect(suspicion.has('a')).toBe(false);
    expect(suspicion.suspect('a', 0)).toBe(true);
    expect(suspicion.suspect('a', 10)).toBe(false);
    expect(suspicion.has('a')).toBe(true);
    expect(suspicion.has('b')).toBe(false);
  });

  test('is probed after a wait that doubles with each failure, up to a bound', () => {
    const suspicion = newSuspicion();
    suspicion.suspect('a', 0);
    expect(suspicion.due(999)).toEqual([]);
    expect(suspicion.due(1_000)).toEqual(['a']);
    const waits = [1, 2, 3].map(() => {
      suspicion.probeFailed('a', 10_000);
      return (suspicion.nextProbe(nobody) ?? 0) - 10_000;
    });
    expect(waits).toEqual([2_000, 4_000, 4_000]);
  });

  test('is trusted again when it answers', () => {
    const suspicion = newSuspicion();
    suspicion.suspect('a', 0);
    expect(suspicion.probeSucceeded('a', 1_000)).toBe(true);
    expect(suspicion.has('a')).toBe(false);
    expect(suspicion.nextProbe(nobody)).toBeUndefined();
    expect(suspicion.probeSucceeded('a', 1_001)).toBe(false);
  });

  test('that fails again while on probation waits longer than the first time, so it does not come and go every second', () => {
    const suspicion = newSuspicion();
    suspicion.suspect('a', 0);
    suspicion.probeSucceeded('a', 1_000);
    expect(suspicion.suspect('a', 60_999)).toBe(true);
    expect(suspicion.nextProbe(nobody)).toBe(60_999 + 2_000);
  });

  test('that did without failure for the whole probation begins anew', () => {
    const suspicion = newSuspicion();
    suspicion.suspect('a', 0);
    suspicion.probeSucceeded('a', 1_000);
    suspicion.suspect('a', 61_000);
    expect(suspicion.nextProbe(nobody)).toBe(61_000 + 1_000);
  });

  test('that left is forgotten, its earlier failures too', () => {
    const suspicion = newSuspicion();
    suspicion.suspect('a', 0);
    suspicion.forget('a');
    expect(suspicion.has('a')).toBe(false);
    suspicion.probeFailed('a', 10);
    expect(suspicion.nextProbe(nobody)).toBeUndefined();
    suspicion.suspect('a', 20);
    expect(suspicion.nextProbe(nobody)).toBe(1_020);
  });

  test('is not the next to be probed while it is being probed', () => {
    const suspicion = newSuspicion();
    suspicion.suspect('a', 0);
    suspicion.suspect('b', 500);
    expect(suspicion.nextProbe(nobody)).toBe(1_000);
    expect(suspicion.nextProbe(new Set(['a']))).toBe(1_500);
  });
});
