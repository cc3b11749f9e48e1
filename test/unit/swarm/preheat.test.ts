import { describe, expect, test } from 'vitest';
import type { Member } from '../../../src/swarm/membership/types.ts';
import { chooseNodes } from '../../../src/swarm/preheat/choose.ts';

const member = (id: string, zone: string, role: Member['role'] = 'agent'): Member => ({ id, zone, role, address: id });
const members = [
  ...Array.from({ length: 10 }, (_, index) => member(`a${index}`, 'a')),
  ...Array.from({ length: 3 }, (_, index) => member(`b${index}`, 'b')),
  member('mirror', 'b', 'mirror'),
];

describe('the nodes that are preheated', () => {
  test('are spread over the zones, as long as a zone has some', () => {
    const zonesOf = (count: number) => chooseNodes(members, 'reg.test/app:v1', count).map(({ zone }) => zone);
    expect(zonesOf(2).sort()).toEqual(['a', 'b']);
    expect(zonesOf(6).sort()).toEqual(['a', 'a', 'a', 'b', 'b', 'b']);
    expect(zonesOf(8).filter((zone) => zone === 'a')).toHaveLength(5);
  });

  test('are agents, all of them at the most', () => {
    expect(chooseNodes(members, 'reg.test/app:v1', 100)).toHaveLength(13);
  });

  test('are the same for the same image wherever they are chosen, and others for another one', () => {
    const idsOf = (some: readonly Member[], image: string) => chooseNodes(some, image, 4).map(({ id }) => id);
    expect(idsOf(members.toReversed(), 'reg.test/app:v1')).toEqual(idsOf(members, 'reg.test/app:v1'));
    const choices = new Set(['v1', 'v2', 'v3', 'v4'].map((tag) => String(idsOf(members, `reg.test/app:${tag}`))));
    expect(choices.size).toBeGreaterThan(1);
  });
});
