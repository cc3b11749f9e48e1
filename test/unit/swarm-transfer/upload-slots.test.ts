import { describe, expect, test } from 'vitest';
import { UploadSlots } from '../../../src/swarm/transfer/upload-slots.ts';

const MB = 1_000_000;
const step = 50;

interface Node {
  /** Bytes per second that leave the node at most. */
  uplink: number;
  /** Bytes per second that one requester takes at most. */
  requester: number;
  /** Requests that are there at any time. */
  demand: number;
}

/** Runs uploads against the clock: all slots that are wanted are taken, and bytes flow as the node allows. */
function simulate() {
  let now = 0;
  const slots = new UploadSlots({ now: () => now });
  let taken = 0;
  return {
    slots,
    run(seconds: number, { uplink, requester, demand }: Node): number {
      let sent = 0;
      for (const end = now + seconds * 1000; now < end; now += step) {
        while (taken < demand && slots.tryTake()) taken += 1;
        while (taken > Math.max(demand, 0) || taken > slots.count) {
          slots.release();
          taken -= 1;
        }
        const bytes = (Math.min(uplink, taken * requester) * step) / 1000;
        slots.sent(bytes);
        sent += bytes;
      }
      return sent / seconds;
    },
  };
}

describe('upload slots', () => {
  test('are taken and given back one by one, never more than there are', () => {
    const slots = new UploadSlots({ now: () => 0, initial: 2 });
    expect([slots.tryTake(), slots.tryTake(), slots.tryTake()]).toEqual([true, true, false]);
    slots.release();
    expect(slots.tryTake()).toBe(true);
    expect(slots.inUse).toBe(2);
  });

  test('of a node with a slow uplink become few within seconds', () => {
    const { slots, run } = simulate();
    run(10, { uplink: 2.5 * MB, requester: 25 * MB, demand: 100 });
    expect(slots.count).toBeLessThanOrEqual(2);
  });

  test('of a fast node become many, and fill its uplink', () => {
    const { slots, run } = simulate();
    run(60, { uplink: 1250 * MB, requester: 25 * MB, demand: 100 });
    expect(slots.count).toBe(64);
    expect(run(5, { uplink: 1250 * MB, requester: 25 * MB, demand: 100 })).toBe(1250 * MB);
  });

  test('stay as they are while few are asked for: that tells nothing of the uplink', () => {
    const { slots, run } = simulate();
    run(60, { uplink: 1250 * MB, requester: 1 * MB, demand: 3 });
    expect(slots.count).toBe(8);
  });

  test('of a fast node do not shrink because its requesters are slow', () => {
    const { slots, run } = simulate();
    run(120, { uplink: 1250 * MB, requester: 2 * MB, demand: 100 });
    expect(slots.count).toBeGreaterThan(32);
  });

  test('come back when a slow uplink becomes fast', () => {
    const { slots, run } = simulate();
    run(20, { uplink: 2.5 * MB, requester: 25 * MB, demand: 100 });
    run(60, { uplink: 125 * MB, requester: 25 * MB, demand: 100 });
    expect(slots.count).toBeGreaterThan(16);
  });

  test('come back from one even when every requester is slow', () => {
    const { slots, run } = simulate();
    run(20, { uplink: 1 * MB, requester: 25 * MB, demand: 100 });
    run(120, { uplink: 1250 * MB, requester: 2 * MB, demand: 100 });
    expect(slots.count).toBeGreaterThan(16);
  });

  test('keep a slow uplink in full use', () => {
    const { run } = simulate();
    const node = { uplink: 2.5 * MB, requester: 25 * MB, demand: 100 };
    run(10, node);
    expect(run(60, node)).toBe(2.5 * MB);
  });
});
