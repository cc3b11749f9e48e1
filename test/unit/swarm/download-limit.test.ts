import { describe, expect, test } from 'vitest';
import { DownloadLimit } from '../../../src/swarm/schedule/download-limit.ts';

const piece = 256 * 1024;

/** Pieces that come one after the other, at bytes a second that depend on how many are under way. */
function download(limit: DownloadLimit, clock: { now: number }, pieces: number, rate: (count: number) => number): void {
  for (let index = 0; index < pieces; index += 1) {
    clock.now += (piece / rate(limit.count)) * 1000;
    limit.arrived(piece, true);
  }
}

function open(most = 8): { limit: DownloadLimit; clock: { now: number } } {
  const clock = { now: 0 };
  return { limit: new DownloadLimit({ most, now: () => clock.now }), clock };
}

describe('pieces that a node takes at once', () => {
  test('are as many as allowed before anything was measured, and over a quick link', () => {
    const { limit, clock } = open();
    expect(limit.count).toBe(8);
    download(limit, clock, 100, () => 100e6);
    expect(limit.count).toBe(8);
  });

  test('are few over a slow link, whose bytes do not come sooner for their being many', () => {
    const { limit, clock } = open();
    download(limit, clock, 100, () => 0.4e6);
    expect(limit.count).toBeLessThanOrEqual(2);
  });

  test('stay as many as come within a second each', () => {
    const { limit, clock } = open();
    download(limit, clock, 200, () => 6.25e6);
    expect(limit.count).toBe(8);
  });

  test('stay many where each brings what its peer gives', () => {
    const { limit, clock } = open();
    download(limit, clock, 200, (count) => count * 0.1e6);
    expect(limit.count).toBeGreaterThanOrEqual(4);
  });

  test('become more again when the link is quick', () => {
    const { limit, clock } = open();
    download(limit, clock, 100, () => 0.4e6);
    download(limit, clock, 100, () => 100e6);
    expect(limit.count).toBe(8);
  });

  test('are not judged while there is less to take', () => {
    const { limit, clock } = open();
    for (let index = 0; index < 100; index += 1) {
      clock.now += 10_000;
      limit.arrived(piece, false);
    }
    expect(limit.count).toBe(8);
  });

  test('take their share of leases with them, but the last', () => {
    const { limit, clock } = open();
    expect([limit.shareOf(4), limit.shareOf(0)]).toEqual([4, 0]);
    download(limit, clock, 100, () => 0.1e6);
    expect([limit.count, limit.shareOf(4), limit.shareOf(16), limit.shareOf(0)]).toEqual([1, 1, 2, 0]);
  });
});
