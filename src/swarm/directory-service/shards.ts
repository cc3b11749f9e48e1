import type { Membership } from '../membership/types.ts';
import { Placement } from '../placement.ts';

/**
 * Where the shards of the directory are, as this node sees it: on the schedulers, where the cluster names any (if nobody can
 * be reached of them there is no directory), else on agents and mirrors. Not on those that have resigned, unless all have.
 */
export function placementOf(
  membership: Pick<Membership, 'members' | 'reachable'>,
  resigned: ReadonlySet<string> = new Set(),
): Placement {
  const scheduled = membership.members().some(({ role }) => role === 'scheduler');
  const hosts = membership.reachable().filter(({ role }) => !scheduled || role === 'scheduler');
  const deciding = hosts.filter(({ id }) => !resigned.has(id));
  return new Placement(
    (deciding.length > 0 ? deciding : hosts).map(({ id, role }) => ({ id, scheduler: role === 'scheduler' })),
  );
}

/** Whether the two place every piece alike. */
export function samePlacement(one: Placement, other: Placement): boolean {
  return one.directory.length === other.directory.length && one.directory.every((id, at) => id === other.directory[at]);
}
