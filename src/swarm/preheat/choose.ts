import { affinity, hashString } from '../hash.ts';
import type { Member } from '../membership/types.ts';

/**
 * Which nodes are to be preheated: spread over the zones, and within a zone drawn by the image's name, so that the same image goes
 * to the same nodes and different ones to different nodes.
 */
export function chooseNodes(members: readonly Member[], image: string, count: number): readonly Member[] {
  const key = hashString(image);
  const zones = new Map<string, { readonly member: Member; readonly score: number }[]>();
  for (const member of members) {
    if (member.role !== 'agent') continue;
    const zone = zones.get(member.zone) ?? [];
    zones.set(member.zone, zone);
    zone.push({ member, score: affinity(hashString(member.id), key) });
  }
  for (const zone of zones.values()) {
    zone.sort((one, other) => other.score - one.score || (one.member.id < other.member.id ? -1 : 1));
  }
  const turns = [...zones.values()].flatMap((zone) => zone.map(({ member, score }, turn) => ({ member, score, turn })));
  turns.sort((one, other) => one.turn - other.turn || other.score - one.score);
  return turns.slice(0, count).map(({ member }) => member);
}
