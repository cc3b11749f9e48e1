import { describe, expect, it } from 'vitest';
import { Evictable, S3Fifo } from '../../../src/store/eviction.ts';

function order(options: { capacity?: number; probation?: number; correlated?: number } = {}) {
  const held = new Set<string>();
  const fifo = new S3Fifo<Evictable>({ capacity: 10, probation: 0.5, correlated: 10, ...options }, (item) =>
    held.has(item.id),
  );
  const insert = (id: string, seconds = 0, proven = false) => {
    const item = new Evictable(id, 1);
    fifo.insert(item, seconds, proven);
    return item;
  };
  return { fifo, held, insert };
}

describe('S3-FIFO', () => {
  it('evicts newcomers in the order in which they came', () => {
    const { fifo, insert } = order();
    for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) insert(id);
    expect(fifo.evict()?.id).toBe('a');
    expect(fifo.evict()?.id).toBe('b');
  });

  it('keeps what was used again, and evicts what was not', () => {
    const { fifo, insert } = order();
    const used = insert('a');
    for (const id of ['b', 'c', 'd', 'e', 'f']) insert(id);
    fifo.touch(used, 20);
    expect(fifo.evict()?.id).toBe('b');
    expect(fifo.isProven(used)).toBe(true);
  });

  it('does not take the reads of one pull for a use', () => {
    const { fifo, insert } = order();
    const item = insert('a', 100);
    for (const id of ['b', 'c', 'd', 'e', 'f']) insert(id, 100);
    for (const seconds of [100, 101, 109.9]) fifo.touch(item, seconds);
    expect(fifo.evict()?.id).toBe('a');
  });

  it('lets a scan of newcomers pass by what is proven', () => {
    const { fifo, insert } = order();
    for (const id of ['a', 'b', 'c', 'd']) insert(id, 0, true);
    for (let at = 0; at < 100; at += 1) {
      insert(`scan${at}`);
      if (fifo.length > 10) expect(fifo.evict()?.id).toMatch(/^scan/);
    }
  });

  it('keeps whatever came within the share of newcomers', () => {
    const { fifo, insert } = order();
    const names = Array.from({ length: 50 }, (_, at) => `item${at}`);
    const present = new Set<string>();
    for (const [at, name] of names.entries()) {
      insert(name);
      present.add(name);
      if (fifo.length > 10) present.delete(fifo.evict()?.id ?? '');
      for (const recent of names.slice(Math.max(0, at - 4), at + 1)) expect(present).toContain(recent);
    }
  });

  it('remembers what it evicted: who returns soon is proven', () => {
    const { fifo, insert } = order();
    for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) insert(id);
    expect(fifo.evict()?.id).toBe('a');
    expect(fifo.isProven(insert('a'))).toBe(true);
    expect(fifo.isProven(insert('z'))).toBe(false);
  });

  it('spares what is held, wherever it is, and gives nothing where everything is', () => {
    const { fifo, held, insert } = order();
    for (const id of ['a', 'b', 'c']) insert(id);
    for (const id of ['d', 'e']) insert(id, 0, true);
    for (const id of ['a', 'b', 'd', 'e']) held.add(id);
    expect(fifo.evict()?.id).toBe('c');
    expect(fifo.evict()).toBeUndefined();
    held.clear();
    expect(fifo.length).toBe(4);
    for (let left = 4; left > 0; left -= 1) expect(fifo.evict()).toBeDefined();
    expect(fifo.evict()).toBeUndefined();
  });

  it('lists everything in the order that restores it', () => {
    const { fifo, insert } = order();
    for (const id of ['p', 'q']) insert(id, 0, true);
    for (const id of ['a', 'b']) insert(id);
    expect([...fifo.items()].map((item) => [item.id, fifo.isProven(item)])).toEqual([
      ['a', false],
      ['b', false],
      ['p', true],
      ['q', true],
    ]);
  });
});
