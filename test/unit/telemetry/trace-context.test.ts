import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseTraceparent } from '../../../src/telemetry/trace-context.ts';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentId = '00f067aa0ba902b7';

test.each([
  [`00-${traceId}-${parentId}-01`, { traceId, parentId, sampled: true }],
  [`00-${traceId}-${parentId}-00`, { traceId, parentId, sampled: false }],
  // A later version may have more flags, and more behind them.
  [`cc-${traceId}-${parentId}-03-more`, { traceId, parentId, sampled: true }],
  [`00-${traceId}-${parentId}-01-more`, undefined],
  [`ff-${traceId}-${parentId}-01`, undefined],
  [`00-${'0'.repeat(32)}-${parentId}-01`, undefined],
  [`00-${traceId}-${'0'.repeat(16)}-01`, undefined],
  [`00-${traceId.toUpperCase()}-${parentId}-01`, undefined],
  ['', undefined],
])('%s', (header, context) => {
  expect(parseTraceparent(header)).toEqual(context);
});

test('whatever comes, ids are hex and never zero', () => {
  fc.assert(
    fc.property(fc.string(), (header) => {
      const context = parseTraceparent(header);
      if (context !== undefined) expect(context.traceId).toMatch(/^(?!0+$)[0-9a-f]{32}$/);
    }),
  );
});
