import { expect, test } from 'vitest';
import { Distribution } from '../../../src/telemetry/distribution.ts';

test('counts values into buckets, one that equals a bound below it', () => {
  const distribution = new Distribution([1, 10]);
  for (const value of [0.5, 1, 1.5, 10, 11]) distribution.observe(value);
  expect(distribution.snapshot()).toEqual({ bounds: [1, 10], counts: [2, 2, 1], sum: 24 });
});
