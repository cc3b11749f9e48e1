import { beforeEach, describe, expect, it } from 'vitest';
import { DeliveryOrder } from '../../../src/pull/delivery-order.ts';

let now: number;
let waits: number[];
let order: DeliveryOrder;

beforeEach(() => {
  now = 1_000;
  waits = [];
  order = new DeliveryOrder({
    now: () => now,
    wait: async (milliseconds) => {
      waits.push(milliseconds);
      now += milliseconds;
    },
  });
});

describe('the order of a pull’s layers', () => {
  it('lets a later layer step back while an earlier one is on its way', async () => {
    const [first, second] = [order.join(0), order.join(1)];
    await second.take();
    await first.take();
    expect(waits).toEqual([]);
    await second.take();
    expect(waits).toEqual([20]);
  });

  it('never holds back the first piece of a layer', async () => {
    const [first, second] = [order.join(0), order.join(1)];
    await first.take();
    await second.take();
    expect(waits).toEqual([]);
  });

  it('never holds back an earlier layer for a later one, nor layers of the same place for each other', async () => {
    const [first, twin, second] = [order.join(0), order.join(0), order.join(1)];
    for (const turn of [second, first, twin, first, twin]) await turn.take();
    expect(waits).toEqual([]);
  });

  it('lets the later ones go on while the earlier one waits for the origin', async () => {
    const [first, second] = [order.join(0), order.join(1)];
    await second.take();
    await first.take();
    now += 51;
    await second.take();
    expect(waits).toEqual([]);
  });

  it('lets the later ones go on when the earlier one is complete', async () => {
    const [first, second] = [order.join(0), order.join(1)];
    await second.take();
    await first.take();
    first.leave();
    await second.take();
    expect(waits).toEqual([]);
  });
});
