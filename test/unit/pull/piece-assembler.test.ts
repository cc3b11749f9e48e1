import { expect, test } from 'vitest';
import { PieceLayout } from '../../../src/pull/layout.ts';
import { PieceAssembler } from '../../../src/pull/piece-assembler.ts';
import type { PieceStore } from '../../../src/store/types.ts';
import { untilAborted } from '../../../src/until-aborted.ts';

const piece = 256 * 1024;

test('an assembler that ends waits no longer for a piece that is held back, and reserves nothing for it', async () => {
  const reserved: number[] = [];
  const held = Promise.withResolvers<void>();
  const complete = Promise.withResolvers<number>();
  const assembler = new PieceAssembler({
    digest: 'sha256:00',
    layout: new PieceLayout(4 * piece, piece),
    run: { from: 0, to: 4 },
    store: {
      reserve: async ({ index }, length) => {
        reserved.push(index);
        const writer = { buffer: Buffer.alloc(length), abort: () => undefined };
        return {
          ...writer,
          commit: () => ({ bytes: writer.buffer, crc32c: 0, tier: 'memory', release: () => undefined }),
        };
      },
    } satisfies Partial<PieceStore> as unknown as PieceStore,
    native: { crc32c: () => 0 },
    signal: new AbortController().signal,
    beforePiece: async (signal) => {
      if (reserved.length > 0) await untilAborted(held.promise, signal);
    },
    onPiece: (index) => complete.resolve(index),
  });
  await assembler.take(Buffer.alloc(piece));
  expect(await complete.promise).toBe(0);
  const paused = assembler.take(Buffer.alloc(1));
  await assembler.end();
  await expect(paused).rejects.toMatchObject({ name: 'AbortError' });
  expect(assembler.nextIndex).toBe(1);
  expect(reserved).toEqual([0]);
});
