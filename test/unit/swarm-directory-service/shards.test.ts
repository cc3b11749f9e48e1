import { describe, expect, test } from 'vitest';
import { placementOf, samePlacement } from '../../../src/swarm/directory-service/shards.ts';
import type { Member, MemberRole } from '../../../src/swarm/membership/types.ts';

function member(id: string, role: MemberRole): Member {
  return { id, role, address: `${id}:65001`, zone: '' };
}

function view(members: readonly Member[], suspected: readonly string[] = []) {
  return { members: () => members, reachable: () => members.filter(({ id }) => !suspected.includes(id)) };
}

const agents = ['a', 'b', 'c'].map((id) => member(id, 'agent'));
const mirror = member('m', 'mirror');
const schedulers = ['s', 't'].map((id) => member(id, 'scheduler'));

describe('the shards of the directory are on', () => {
  test('agents and mirrors, where there is no scheduler', () => {
    expect([...placementOf(view([...agents, mirror])).directory].sort()).toEqual(['a', 'b', 'c', 'm']);
  });

  test('those of them that are within reach', () => {
    expect([...placementOf(view([...agents, mirror], ['b'])).directory].sort()).toEqual(['a', 'c', 'm']);
  });

  test('schedulers alone, where there is one', () => {
    const all = [...agents, mirror, ...schedulers];
    expect([...placementOf(view(all)).directory].sort()).toEqual(['s', 't']);
    expect([...placementOf(view(all, ['s'])).directory]).toEqual(['t']);
  });

  test('nobody, when no scheduler is within reach: agents know nothing of what they hold', () => {
    expect(placementOf(view([...agents, ...schedulers], ['s', 't'])).directory).toEqual([]);
  });
});

test('placements are the same when they name the same shards', () => {
  const one = placementOf(view([...agents, mirror]));
  expect(samePlacement(one, placementOf(view([mirror, ...agents.toReversed()])))).toBe(true);
  expect(samePlacement(one, placementOf(view(agents)))).toBe(false);
});
