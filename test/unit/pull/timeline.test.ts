import fc from 'fast-check';
import { expect, test } from 'vitest';
import { byteSources } from '../../../src/pull/observer.ts';
import { Timeline } from '../../../src/pull/timeline.ts';

test('tells when the bytes of each source came', () => {
  const timeline = new Timeline();
  timeline.add(0, 'peer', 10);
  timeline.add(9, 'peer', 5);
  timeline.add(17, 'origin', 7);
  expect(timeline.view()).toEqual({ binMs: 8, bytes: { peer: [10, 5], origin: [0, 0, 7] } });
});

test('keeps every byte in a bin of its time, however long it takes', () => {
  const arrivals = fc.array(
    fc.record({
      at: fc.double({ min: 0, max: 1e9, noNaN: true }),
      source: fc.constantFrom(...byteSources),
      bytes: fc.integer({ min: 1, max: 2 ** 30 }),
    }),
    { minLength: 1, maxLength: 60 },
  );
  fc.assert(
    fc.property(arrivals, (events) => {
      const timeline = new Timeline();
      for (const { at, source, bytes } of events) timeline.add(at, source, bytes);
      const { binMs, bytes } = timeline.view();
      for (const source of byteSources) {
        const own = events.filter((event) => event.source === source);
        const bins = bytes[source] ?? [];
        expect(bins.length).toBeLessThanOrEqual(32);
        for (let bin = 0; bin < Math.max(bins.length, 32); bin += 1) {
          const sum = own
            .filter(({ at }) => Math.floor(at / binMs) === bin)
            .reduce((total, event) => total + event.bytes, 0);
          expect(bins[bin] ?? 0).toBe(sum);
        }
      }
    }),
  );
});
