import { mostMembers } from '../../config/membership.ts';
import type { Member } from './types.ts';

/** Everyone once, by id in ascending order; of several with one id the first counts. Beyond the bound the last are left out. */
export function toRoster(members: readonly Member[]): readonly Member[] {
  const byId = new Map<string, Member>();
  for (const member of members) {
    if (!byId.has(member.id)) byId.set(member.id, member);
  }
  // By code units: every node must have the same order, whatever its locale.
  const sorted = [...byId.values()].sort((one, other) => (one.id < other.id ? -1 : 1));
  return sorted.slice(0, mostMembers);
}

/** Whether two rosters say the same. */
export function sameRoster(one: readonly Member[], other: readonly Member[]): boolean {
  return one.length === other.length && one.every((member, at) => sameMember(member, other[at]));
}

export function sameMember(one: Member, other: Member | undefined): boolean {
  return one.id === other?.id && one.address === other.address && one.zone === other.zone && one.role === other.role;
}
