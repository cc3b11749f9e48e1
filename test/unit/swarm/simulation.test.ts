import { describe, expect, test } from 'vitest';
import { type Result, resultOf } from '../../../bench/simulate/report.ts';
import { bound, type RowOptions, scenario } from '../../../bench/simulate/scenarios.ts';
import { SwarmModel } from '../../../bench/simulate/swarm-model.ts';

/** A small swarm through the production classes: the same seed, the same run, on every machine. */
function simulate(options: Partial<RowOptions>): Result {
  const row = { title: '', scenario: scenario({ nodes: 24, pieces: 256, imageBytes: 2 ** 30, ...options }) };
  return resultOf(row, new SwarmModel(row.scenario).run());
}

// Seconds of computing, more on a busy machine.
describe('a simulated swarm', { timeout: 120_000 }, () => {
  test('the origin sends each byte once when all pull at once, and nobody waits long', () => {
    const result = simulate({});
    expect(result.origin).toBe(1);
    expect(result.outcome.durations).toHaveLength(24);
    expect(result.last).toBeLessThan(1.4);
  });

  test('an origin with the bandwidth of a quarter node is kept busy and asked for nothing twice', () => {
    const result = simulate({ origin: 0.25 });
    expect(result.origin).toBe(1);
    expect(result.last).toBeLessThan(1.1);
  });

  test('each byte crosses once into each of the other zones', () => {
    const result = simulate({ zones: 3 });
    expect(result.origin).toBe(1);
    expect(result.crossZone).toBeGreaterThanOrEqual(2);
    expect(result.crossZone).toBeLessThanOrEqual(2.04);
  });

  test('slow nodes do not hold up the others, nor make the origin send more', () => {
    const result = simulate({ slowShare: 0.25 });
    expect(result.origin).toBe(1);
    expect(result.last).toBeLessThan(1.8);
  });

  test('nodes that come one after the other are served by those that came before', () => {
    expect(simulate({ stagger: 3 }).origin).toBe(1);
  });

  test('nodes that vanish in the middle cost no more than the pieces that only they had', () => {
    const result = simulate({ churnPerMinute: 1, seed: 3 });
    expect(result.outcome.durations.length).toBeGreaterThan(12);
    expect(result.origin).toBeLessThan(1.1);
  });

  test('one node alone takes the image from the origin once, at full speed', () => {
    const result = simulate({ nodes: 1 });
    expect(result.origin).toBe(1);
    // Four leases at a time, each a round trip to the origin after the last; the model's steps add to it.
    expect(result.last).toBeLessThan(1.15);
  });

  test('the same seed gives the same run', () => {
    expect(simulate({ seed: 5 }).outcome).toEqual(simulate({ seed: 5 }).outcome);
  });

  test('no run is faster than the bound', () => {
    const result = simulate({ origin: 1 });
    expect(Math.min(...result.outcome.durations)).toBeGreaterThanOrEqual(bound(result.row.scenario));
  });
});
