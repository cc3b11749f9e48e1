import { describe, expect, test } from 'vitest';
import { LinkPace } from '../../../src/swarm/schedule/link-pace.ts';

const piece = 256 * 1024;

function open() {
  const clock = { now: 0 };
  const pace = new LinkPace(() => clock.now);
  /** `count` pieces one after the other, each in so many milliseconds, and after each a pause. */
  const receive = (count: number, each: number, pause = 0): number => {
    for (let index = 0; index < count; index += 1) {
      pace.changed(1);
      clock.now += each;
      pace.arrived(piece);
      pace.changed(0);
      clock.now += pause;
    }
    return pace.value;
  };
  return { pace, receive };
}

describe("the pace of a node's link", () => {
  test('is not known before a second of receiving', () => {
    const { pace, receive } = open();
    expect(pace.value).toBe(0);
    expect(receive(9, 100)).toBe(0);
    expect(receive(1, 100)).toBeGreaterThan(0);
  });

  test.each([
    ['1 Gbit/s', 2, 27],
    ['100 Mbit/s', 21, 24],
    ['10 Mbit/s', 210, 20],
  ])('is the power of two next to its bytes a second: %s', (_, each, power) => {
    expect(open().receive(1_000, each)).toBe(power);
  });

  test('leaves out the time in which nothing was under way', () => {
    expect(open().receive(100, 21, 10_000)).toBe(24);
  });

  test('is the better of the last two seconds: one in which others were slow says nothing of the link', () => {
    const { receive } = open();
    receive(48, 21);
    expect(receive(5, 210)).toBe(24);
    expect(receive(5, 210)).toBe(20);
  });
});
