import { expect, test } from 'vitest';
import { Blob } from '../../../src/pull/blob.ts';
import { PieceLayout } from '../../../src/pull/layout.ts';
import type { PieceStore } from '../../../src/store/types.ts';

const piece = 256 * 1024;

test('a reader that waits for the check of a blob has the pieces asked for that the check lacks', async () => {
  let demands = 0;
  const blob = new Blob({
    digest: 'sha256:00',
    layout: new PieceLayout(4 * piece, piece),
    store: {
      has: () => false,
      get: async () => undefined,
      isVerified: () => false,
    } satisfies Partial<PieceStore> as unknown as PieceStore,
    native: { createSha256: () => ({ update: async () => undefined, digest: async () => '' }) },
    onDemand: () => {
      demands += 1;
    },
    onSpoiled: () => undefined,
  });
  // Prefetched: the whole blob passes through, though nobody reads it, or only its end.
  blob.addInterest({ from: 0, to: 4, aheadBytes: Number.POSITIVE_INFINITY, whole: true, reads: false });
  await new Promise((resolve) => setImmediate(resolve));
  expect(blob.askedFor()).toEqual([]);
  const before = demands;
  const gone = new AbortController();
  const checked = blob.checked(gone.signal);
  expect(blob.askedFor()).toEqual([0]);
  expect(blob.isAwaited).toBe(true);
  expect(demands).toBeGreaterThan(before);
  gone.abort();
  await expect(checked).rejects.toMatchObject({ name: 'AbortError' });
  expect(blob.askedFor()).toEqual([]);
});
