import type { Member, MemberSource } from './types.ts';

/** Members that stand in the configuration: the same list on every node. */
export function staticSource(members: readonly Member[]): MemberSource {
  return {
    start: (update) => update(members),
    failure: () => undefined,
    close: async () => {},
  };
}
