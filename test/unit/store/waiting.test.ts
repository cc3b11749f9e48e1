import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Store } from '../../../src/store/piece-store.ts';
import { WaitingLine } from '../../../src/store/waiting-line.ts';
import { cheapestWindow } from '../../../src/store/window.ts';
import { HeapArena } from './heap.ts';

describe('waiting line', () => {
  it('serves everyone who does not give up, each purpose in order, and loses no wake-up', async () => {
    const action = fc.oneof(
      fc.record({ want: fc.integer({ min: 1, max: 4 }), purpose: fc.constantFrom('write' as const, 'read' as const) }),
      fc.record({ abort: fc.nat() }),
      fc.record({ release: fc.nat() }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 60 }), async (actions) => {
        let free = 4;
        const held: number[] = [];
        const line = new WaitingLine<'write' | 'read', { length: number; id: string }>(
          ['write', 'read'],
          (id, length) => {
            if (length > free) return 'not-now';
            free -= length;
            held.push(length);
            return { length, id };
          },
        );
        const served: number[] = [];
        const controllers: AbortController[] = [];
        const outcomes: Promise<unknown>[] = [];
        for (const step of actions) {
          if ('want' in step) {
            const number = controllers.length;
            const controller = new AbortController();
            controllers.push(controller);
            const wait = line.wait(String(number), step.want, step.purpose, controller.signal);
            outcomes.push(wait.then(() => served.push(number)).catch(() => undefined));
          } else if ('abort' in step) controllers[step.abort % Math.max(1, controllers.length)]?.abort();
          else {
            const [length] = held.splice(step.release % Math.max(1, held.length), 1);
            free += length ?? 0;
            line.serve();
          }
        }
        while (held.length > 0) {
          free += held.pop() ?? 0;
          line.serve();
        }
        await Promise.all(outcomes);
        expect(served).toEqual(served.toSorted((a, b) => a - b));
      }),
    );
  });

  it('lets others pass only by one whose own bound is reached', async () => {
    let writersMay = false;
    const line = new WaitingLine<'write' | 'read', object>(['write', 'read'], (_id, _length, purpose) =>
      purpose === 'write' && !writersMay ? 'not-this-purpose' : {},
    );
    let written = false;
    const write = line.wait('w', 1, 'write').then(() => {
      written = true;
    });
    await line.wait('r', 1, 'read');
    expect(written).toBe(false);
    writersMay = true;
    line.serve();
    await write;
  });
});

describe('window', () => {
  const [cheap, dear, stays] = [{ worth: 1 }, { worth: 5 }, {}] as { worth?: number }[];
  const worth = (holder: { worth?: number }) => holder.worth;

  it('is the one that loses least', () => {
    expect(cheapestWindow([dear, undefined, cheap, cheap], 2, worth)).toEqual(new Set([cheap]));
  });

  it('is none where every one has somebody who must stay', () => {
    expect(cheapestWindow([stays, undefined, cheap, stays], 2, worth)).toBeUndefined();
  });

  it('may be one that is empty already', () => {
    expect(cheapestWindow([stays, undefined, undefined, undefined], 2, worth)).toEqual(new Set());
  });
});

describe('memory that nobody needs', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('goes back to the system when nothing was asked for during half a minute, and not before', async () => {
    const blockSize = 256 * 1024;
    const arena = new HeapArena(16 * blockSize);
    const store = new Store({ arena, blockSize, now: () => 0 });
    const put = async (index: number) => {
      const writer = await store.reserve({ digest: 'a', index }, blockSize);
      writer.commit(0).release();
    };
    for (let index = 0; index < 4; index += 1) await put(index);
    store.drop('a');
    for (let turn = 0; turn < 5; turn += 1) {
      await put(turn);
      store.drop('a');
      vi.advanceTimersByTime(29_000);
    }
    expect(arena.discarded).toEqual([]);
    vi.advanceTimersByTime(61_000);
    const bytes = arena.discarded.reduce((sum, { length }) => sum + length, 0);
    expect(bytes).toBeGreaterThanOrEqual(4 * blockSize);
    await store.close();
  });
});
