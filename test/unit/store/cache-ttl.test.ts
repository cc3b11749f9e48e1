import { expect, it } from 'vitest';
import { configSchema } from '../../../src/config/schema.ts';

it.each([
  [0, 0],
  [90, 90],
  ['3600', 3600],
  ['90s', 90],
  ['1.5m', 90],
  ['24h', 86_400],
  ['3d', 259_200],
])('reads a cacheTTL of %s as %i seconds', (given, seconds) => {
  const { p2p } = configSchema.parse({ p2p: { v2: { cache: { cacheTTL: given } } } });
  expect(p2p.v2.cache.cacheTTL).toBe(seconds);
});

it.each([-1, '1w', 'soon', ''])('refuses a cacheTTL of %s', (given) => {
  expect(configSchema.safeParse({ p2p: { v2: { cache: { cacheTTL: given } } } }).success).toBe(false);
});
