import { afterEach, describe, expect, test } from 'vitest';
import { createDirectoryHost } from '../../../src/swarm/directory-service/host.ts';
import type { DirectoryHost } from '../../../src/swarm/directory-service/types.ts';
import type { Member } from '../../../src/swarm/membership/types.ts';
import type { AgentMessage, ShardMessage } from '../../../src/swarm/messages.ts';
import { helloOf } from '../../harness/hello.ts';
import { ManualClock } from '../../harness/manual-clock.ts';

const blob = `sha256:${'ab'.repeat(32)}`;
const settleTimeMs = 500;
const transferTimeoutMs = 15_000;

let host: DirectoryHost | undefined;
afterEach(() => host?.close());

function want(piece: number): AgentMessage {
  return { kind: 'want', blob, piece, lease: true, urgent: false, source: 'registry/app' };
}

class Members {
  readonly heardOf: string[] = [];
  #all: readonly Member[] = [];
  readonly #listeners = new Set<() => void>();

  members = (): readonly Member[] => this.#all;
  reachable = this.members;
  heard = (id: string): void => {
    this.heardOf.push(id);
  };

  onChange = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  set(...ids: string[]): void {
    this.#all = ids.map((id) => ({ id, address: `${id}:65001`, zone: '', role: 'agent' }));
    for (const listener of this.#listeners) listener();
  }
}

function open(agents?: number) {
  const clock = new ManualClock();
  const membership = new Members();
  membership.set('a', 'b');
  const opened = createDirectoryHost({
    self: 'a',
    membership,
    transferTimeoutMs,
    settleTimeMs,
    clock,
    ...(agents !== undefined && {
      limits: { agents, pieces: 100, wantsPerAgent: 100, holdingsPerAgent: 100, distrustPerAgent: 10 },
    }),
  });
  host = opened;
  const attend = (id: string) => {
    const received: ShardMessage[] = [];
    const ends: string[] = [];
    const standings: string[] = [];
    const attendance = opened.attach(helloOf(id), {
      receive: (message) => received.push(message),
      stands: (standing) => standings.push(standing),
      ended: (reason) => ends.push(reason),
    });
    return { attendance, received, ends, standings };
  };
  return { host: opened, clock, membership, attend };
}

describe('a shard', () => {
  test('gives its first lease once it has settled', async () => {
    const { clock, attend } = open();
    const { attendance, received } = attend('a');
    attendance?.say(want(0));
    expect(received).toEqual([]);
    await clock.next();
    await clock.asleep();
    expect(clock.now()).toBe(settleTimeMs);
    expect(received).toEqual([{ kind: 'lease', blob, piece: 0, source: 'registry/app' }]);
  });

  describe('on a node whose link is much slower than most', () => {
    function attended() {
      const opened = open();
      const [a, b, c] = ['a', 'b', 'c'].map(opened.attend);
      return { ...opened, a, b, c };
    }

    test('resigns, and tells everybody, those who come later as well', () => {
      const { attend, a, b, c } = attended();
      b?.attendance?.update({ pace: 24 });
      c?.attendance?.update({ pace: 24 });
      expect([a?.standings, b?.standings]).toEqual([[], []]);
      a?.attendance?.update({ pace: 20 });
      expect([a?.standings, b?.standings, c?.standings]).toEqual([['resigned'], ['resigned'], ['resigned']]);
      expect(attend('d').attendance?.standing).toBe('resigned');
    });

    test('decides again when the link is as quick as others, after a minute at the earliest', async () => {
      const { clock, a, b, c } = attended();
      for (const quick of [b, c]) quick?.attendance?.update({ pace: 24 });
      a?.attendance?.update({ pace: 20 });
      clock.pass(59_000);
      a?.attendance?.update({ pace: 24 });
      expect(b?.standings).toEqual(['resigned']);
      clock.pass(1_000);
      b?.attendance?.update({ pace: 25 });
      expect(b?.standings).toEqual(['resigned', 'decides']);
    });

    test('does not mind that others are slow', () => {
      const { a, b, c } = attended();
      for (const quick of [a, b]) quick?.attendance?.update({ pace: 24 });
      c?.attendance?.update({ pace: 20 });
      expect(b?.standings).toEqual([]);
    });
  });

  test('gives a lease that has lapsed to the next who waits', async () => {
    const { clock, attend } = open();
    await clock.next();
    const first = attend('a');
    const second = attend('b');
    first.attendance?.say(want(0));
    second.attendance?.say(want(0));
    expect([first.received.length, second.received.length]).toEqual([1, 0]);
    await clock.next();
    await clock.asleep();
    expect(clock.now()).toBe(settleTimeMs + transferTimeoutMs);
    expect(second.received).toMatchObject([{ kind: 'lease', piece: 0 }]);
  });

  test('gives a lease on at once when its holder leaves', async () => {
    const { clock, attend } = open();
    await clock.next();
    const first = attend('a');
    const second = attend('b');
    first.attendance?.say(want(0));
    second.attendance?.say(want(0));
    first.attendance?.leave();
    expect(second.received).toMatchObject([{ kind: 'lease', piece: 0 }]);
  });

  test('settles anew when the directory has changed, and only then', async () => {
    const { clock, membership, attend } = open();
    await clock.next();
    const { attendance, received } = attend('a');
    membership.set('b', 'a');
    attendance?.say(want(0));
    expect(received).toHaveLength(1);
    membership.set('a', 'b', 'c');
    attendance?.say(want(1));
    expect(received).toHaveLength(1);
    await clock.next();
    await clock.asleep();
    expect(received).toHaveLength(2);
  });

  test('ends the former attendance of an id, and what is said by it after that counts no more', async () => {
    const { host: shard, clock, attend } = open();
    await clock.next();
    const former = attend('a');
    const latter = attend('a');
    expect(former.ends).toEqual(['replaced']);
    expect(shard.stat.agents).toBe(1);
    former.attendance?.say(want(0));
    former.attendance?.leave();
    expect(shard.stat).toMatchObject({ agents: 1, pieces: 0 });
    latter.attendance?.say(want(0));
    expect(latter.received).toHaveLength(1);
  });

  test('lets the membership hear of who attends', () => {
    const { membership, attend } = open();
    attend('a');
    expect(membership.heardOf).toEqual(['a']);
  });

  test('takes no more agents than it has room for', () => {
    const { attend } = open(1);
    expect(attend('a').attendance).toBeDefined();
    expect(attend('b').attendance).toBeUndefined();
    expect(attend('a').attendance).toBeDefined();
  });

  test('ends everybody when it stops, and takes nobody any more', () => {
    const { host: shard, attend } = open();
    const attendees = [attend('a'), attend('b')];
    shard.close();
    expect(attendees.map(({ ends }) => ends)).toEqual([['stopped'], ['stopped']]);
    expect(attend('c').attendance).toBeUndefined();
    expect(shard.stat.agents).toBe(0);
  });
});
