import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { startMembership } from '../../../src/swarm/membership/membership.ts';
import type { Member, MemberSource, Membership } from '../../../src/swarm/membership/types.ts';
import { createLogger } from '../../../src/telemetry/log.ts';

const logger = createLogger({ name: 'test', level: 'silent' });
const member = (id: string, address = `${id}:65001`): Member => ({ id, address, zone: '', role: 'agent' });
const ids = (members: readonly Member[]) => members.map(({ id }) => id);

/** Membership on fake time, with a source that the test speaks for. Who is in `away` refuses probes, who is `deaf` never answers. */
function start() {
  let update: (members: readonly Member[]) => void = () => {};
  const away = new Set<string>();
  const deaf = new Set<string>();
  const probed: string[] = [];
  const source: MemberSource = {
    start: (given) => {
      update = given;
    },
    failure: () => undefined,
    close: vi.fn(async () => {}),
  };
  const membership = startMembership({
    source,
    self: 'self',
    probe: async ({ id }) => {
      probed.push(id);
      if (deaf.has(id)) await new Promise(() => {});
      if (away.has(id)) throw new Error('away');
    },
    probeTimeoutMs: 5_000,
    logger,
    clock: { now: () => Date.now(), sleep: async () => {}, random: () => 1 },
  });
  const changes = vi.fn();
  membership.onChange(changes);
  return { membership, source, say: (...members: Member[]) => update(members), away, deaf, probed, changes };
}

const open: Membership[] = [];
function started(): ReturnType<typeof start> {
  const parts = start();
  open.push(parts.membership);
  return parts;
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((membership) => membership.close()));
  vi.useRealTimers();
});

describe('a suspected member that is heard', () => {
  test('is probed at once, and trusted again when it answers', async () => {
    const { membership, say, probed } = started();
    say(member('self'), member('a'));
    membership.suspect('a');
    membership.heard('a');
    await vi.advanceTimersByTimeAsync(0);
    expect(probed).toEqual(['a']);
    expect(ids(membership.reachable())).toEqual(['a', 'self']);
  });

  test('is not trusted on its word alone', async () => {
    const { membership, say, probed, away } = started();
    say(member('self'), member('a'));
    away.add('a');
    membership.suspect('a');
    membership.heard('a');
    await vi.advanceTimersByTimeAsync(0);
    expect(probed).toEqual(['a']);
    expect(ids(membership.reachable())).toEqual(['self']);
  });

  test('makes no difference to who is trusted', async () => {
    const { membership, say, probed } = started();
    say(member('self'), member('a'));
    membership.heard('a');
    membership.heard('a stranger');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(probed).toEqual([]);
  });
});

describe('membership', () => {
  test('has nobody before the first answer, then everyone once, in the order of their ids', async () => {
    const { membership, say } = started();
    expect(membership.members()).toEqual([]);
    say(member('b'), member('self'), member('a'), member('b', 'elsewhere:1'));
    await membership.firstAnswer;
    expect(ids(membership.members())).toEqual(['a', 'b', 'self']);
    expect(membership.members()[1]?.address).toBe('b:65001');
  });

  test('tells its listeners of changes only, and not those that have ended it', () => {
    const { membership, say, changes } = started();
    const ended = vi.fn();
    membership.onChange(ended)();
    say(member('a'), member('b'));
    say(member('b'), member('a'));
    expect(changes).toHaveBeenCalledTimes(1);
    say(member('a'));
    say({ ...member('a'), zone: 'z' });
    expect(changes).toHaveBeenCalledTimes(3);
    expect(ended).not.toHaveBeenCalled();
  });

  test('has a suspected member among the members, and not among the reachable, at once', () => {
    const { membership, say, changes } = started();
    say(member('a'), member('b'));
    membership.suspect('a');
    expect(ids(membership.members())).toEqual(['a', 'b']);
    expect(ids(membership.reachable())).toEqual(['b']);
    membership.suspect('a');
    expect(changes).toHaveBeenCalledTimes(2);
  });

  test('has it back when it answers a probe', async () => {
    const { membership, say, away, probed } = started();
    say(member('a'), member('b'));
    away.add('a');
    membership.suspect('a');
    await vi.advanceTimersByTimeAsync(1_000 + 2_000);
    expect(probed).toEqual(['a', 'a']);
    expect(ids(membership.reachable())).toEqual(['b']);
    away.delete('a');
    await vi.advanceTimersByTimeAsync(4_000);
    expect(ids(membership.reachable())).toEqual(['a', 'b']);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(probed.length).toBe(3);
  });

  test('suspects neither itself nor who is no member', () => {
    const { membership, say, changes } = started();
    say(member('a'), member('self'));
    membership.suspect('self');
    membership.suspect('stranger');
    expect(ids(membership.reachable())).toEqual(['a', 'self']);
    expect(changes).toHaveBeenCalledTimes(1);
  });

  test('trusts a member that left and came back, or has moved, and probes it no more', async () => {
    const { membership, say, away, probed } = started();
    say(member('a'), member('b'));
    away.add('a').add('b');
    membership.suspect('a');
    membership.suspect('b');
    say(member('b', 'elsewhere:1'));
    expect(ids(membership.reachable())).toEqual(['b']);
    say(member('a'), member('b', 'elsewhere:1'));
    expect(ids(membership.reachable())).toEqual(['a', 'b']);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(probed).toEqual([]);
  });

  test('gives up a probe that neither answers nor ends, and probes again', async () => {
    const { membership, say, deaf, probed } = started();
    say(member('a'));
    deaf.add('a');
    membership.suspect('a');
    await vi.advanceTimersByTimeAsync(1_000 + 5_000 + 1_999);
    expect(probed).toEqual(['a']);
    await vi.advanceTimersByTimeAsync(1);
    expect(probed).toEqual(['a', 'a']);
    expect(membership.reachable()).toEqual([]);
  });

  test('does not hold the probe of one who left against who comes back', async () => {
    const { membership, say, deaf, probed } = started();
    say(member('a'));
    deaf.add('a');
    membership.suspect('a');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(probed).toEqual(['a']);
    say();
    say(member('a'));
    membership.suspect('a');
    deaf.clear();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(probed).toEqual(['a', 'a']);
    expect(ids(membership.reachable())).toEqual(['a']);
  });

  test('probes a few at a time, however many are suspected', async () => {
    const { membership, say, away, probed } = started();
    const everyone = Array.from({ length: 100 }, (_, at) => member(`n${at}`));
    say(...everyone);
    for (const { id } of everyone) {
      away.add(id);
      membership.suspect(id);
    }
    vi.advanceTimersByTime(1_000);
    await Promise.resolve();
    expect(probed.length).toBe(16);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(new Set(probed).size).toBe(100);
  });

  test('is silent after it was closed', async () => {
    const { membership, source, say, changes, probed } = started();
    say(member('a'));
    membership.suspect('a');
    await membership.close();
    say(member('b'));
    membership.suspect('a');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(source.close).toHaveBeenCalledTimes(1);
    expect(probed).toEqual([]);
    expect(changes).toHaveBeenCalledTimes(2);
  });

  test('whatever happens: the reachable are members, and without failures all members are reachable in the end', async () => {
    const name = fc.constantFrom('a', 'b', 'c', 'self');
    const step = fc.oneof(
      fc.record({ say: fc.uniqueArray(name) }),
      fc.record({ suspect: name }),
      fc.record({ leave: name }),
      fc.record({ pass: fc.nat(5_000) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const { membership, say, away } = started();
        for (const each of steps) {
          if ('say' in each) say(...each.say.map((id) => member(id)));
          else if ('suspect' in each) membership.suspect(each.suspect);
          else if ('leave' in each) away.add(each.leave);
          else await vi.advanceTimersByTimeAsync(each.pass);
          const all = new Set(membership.members());
          expect(membership.reachable().every((one) => all.has(one))).toBe(true);
          expect(ids(membership.reachable()).includes('self')).toBe(ids(membership.members()).includes('self'));
        }
        away.clear();
        await vi.advanceTimersByTimeAsync(60_000);
        expect(membership.reachable()).toEqual(membership.members());
        await membership.close();
      }),
      { numRuns: 50 },
    );
  });
});
