import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AgentSet } from '../../../src/swarm/directory/agent-set.ts';

test('a set of agents is a set, whatever is added and deleted', () => {
  const operation = fc.record({ add: fc.boolean(), slot: fc.oneof(fc.nat(40), fc.nat(65_535)) });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 300 }), (operations) => {
      const set = new AgentSet();
      const model = new Set<number>();
      for (const { add, slot } of operations) {
        expect(add ? set.add(slot) : set.delete(slot)).toBe(add ? !model.has(slot) : model.has(slot));
        if (add) model.add(slot);
        else model.delete(slot);
        expect(set.has(slot)).toBe(model.has(slot));
      }
      expect(set.size).toBe(model.size);
      const listed = Array.from({ length: set.size }, (_, place) => set.at(place));
      expect(listed.sort((one, other) => one - other)).toEqual([...model].sort((one, other) => one - other));
      for (const slot of model) expect(set.has(slot)).toBe(true);
    }),
  );
});
