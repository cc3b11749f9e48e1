import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createDirectoryLinks } from '../../../src/swarm/directory-service/links.ts';
import type { Attendee, DirectoryHost, DirectoryLinks } from '../../../src/swarm/directory-service/types.ts';
import type { Member, Membership } from '../../../src/swarm/membership/types.ts';
import type { AgentMessage, Have, Hello, ShardMessage } from '../../../src/swarm/messages.ts';
import { createLogger } from '../../../src/telemetry/log.ts';

/** The links to other nodes' shards need sockets: test/integration/directory-service.test.ts. Here is what decides, with this node's own shard. */

const blob = `sha256:${'ab'.repeat(32)}`;
const member: Member = { id: 'a', address: 'a:65001', zone: '', role: 'agent' };
const want = { kind: 'want', blob, piece: 0, lease: true, urgent: false, source: 'registry/app' } as const;

let links: DirectoryLinks | undefined;
afterEach(() => links?.close());

class Roster implements Membership {
  readonly firstAnswer = Promise.resolve();
  #all: readonly Member[] = [];
  readonly #listeners = new Set<() => void>();

  members = (): readonly Member[] => this.#all;
  reachable = this.members;
  suspect = vi.fn();
  heard = vi.fn();
  failure = () => undefined;
  close = async () => undefined;

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  set(...all: readonly Member[]): void {
    this.#all = all;
    for (const listener of this.#listeners) listener();
  }
}

/** A shard that answers what it is told to, and keeps what it hears. */
class OwnShard implements DirectoryHost {
  readonly hellos: Hello[] = [];
  readonly heard: AgentMessage[] = [];
  left = 0;
  attendee: Attendee | undefined;
  answer: ShardMessage | undefined;

  get stat(): DirectoryHost['stat'] {
    return { agents: 0, blobs: 0, pieces: 0, refused: 0, disputes: 0, lapsed: 0, banned: 0 };
  }

  attach(hello: Hello, attendee: Attendee) {
    this.hellos.push(hello);
    this.attendee = attendee;
    return {
      say: (message: AgentMessage) => {
        this.heard.push(message);
        if (this.answer !== undefined) attendee.receive(this.answer);
      },
      standing: 'decides' as const,
      update: (update: Partial<Hello>) => this.hellos.push({ ...hello, ...update }),
      leave: () => {
        this.left += 1;
      },
    };
  }

  rearranged = vi.fn();
  close(): void {}
}

function open(holdings: readonly Omit<Have, 'kind'>[] = []) {
  const membership = new Roster();
  const local = new OwnShard();
  const received: ShardMessage[] = [];
  const replaced = vi.fn<(moved: (blob: string, piece: number) => boolean) => void>();
  const self = {
    current: { id: 'a', address: 'a:65001', zone: '', role: 'agent', slots: 12, leases: 0, pace: 0 } as Hello,
  };
  const opened = createDirectoryLinks({
    self: () => self.current,
    membership,
    security: { kind: 'loopback' },
    local,
    receive: (message) => received.push(message),
    replaced,
    holdings: () => holdings,
    connectTimeoutMs: 1_000,
    logger: createLogger({ name: 'test', level: 'silent' }),
  });
  links = opened;
  return { links: opened, membership, local, received, replaced, self };
}

describe('the links', () => {
  test('are of no use before the membership knows this node, and then at once', async () => {
    const { links: all, membership, local } = open();
    await turn();
    expect(all.state).toMatchObject({ usable: 'none', shards: 0, linked: 0 });
    const changed = vi.fn();
    all.onChange(changed);
    membership.set(member);
    expect(changed).not.toHaveBeenCalled();
    await turn();
    expect(all.state).toMatchObject({ usable: 'all', shards: 1, linked: 1 });
    expect(changed).toHaveBeenCalledTimes(1);
    expect(local.hellos).toHaveLength(1);
  });

  test('tell a shard what is held, and have asked again what it has not heard of', async () => {
    const holding = { blob, piece: 7, crc32c: 1, verified: true };
    const { links: all, membership, local, replaced } = open([holding]);
    all.say(want);
    expect(all.state).toMatchObject({ sent: 0, dropped: 1 });
    membership.set(member);
    await turn();
    expect(local.heard).toEqual([{ kind: 'have', ...holding }]);
    const moved = replaced.mock.calls.map(([predicate]) => predicate(blob, 0));
    expect(moved).toContain(true);
    all.say(want);
    expect(local.heard.at(-1)).toEqual(want);
  });

  test('never decide from within `say`: who speaks is not spoken to before it has finished', async () => {
    const { links: all, membership, local, received } = open();
    membership.set(member);
    await turn();
    local.answer = { kind: 'lease', blob, piece: 0, source: 'registry/app' };
    all.say(want);
    expect(received).toEqual([]);
    await turn();
    expect(received).toEqual([local.answer]);
    expect(all.state).toMatchObject({ sent: 1, received: 1 });
  });

  test.each([
    ['of a repository with an endless name', { ...want, source: `registry/${'a'.repeat(600)}` }],
    ['of a blob under a digest that nobody knows', { ...want, blob: 'md5:0123' }],
    ['of a piece beyond every blob', { ...want, piece: 2 ** 20 }],
  ])(
    'keep a want %s here, which would cost the stream, and have the node bring the piece alone',
    async (_what, wrong) => {
      const {
        links: all,
        membership,
        local,
        received,
      } = open([{ blob: 'md5:0123', piece: 0, crc32c: 1, verified: true }]);
      membership.set(member);
      await turn();
      all.say(wrong);
      expect(received).toEqual([]);
      await turn();
      expect(received).toEqual([{ kind: 'alone', blob: wrong.blob, piece: wrong.piece }]);
      expect(local.heard).toEqual([]);
    },
  );

  test('do nothing about changes that concern no shard', async () => {
    const { membership, local, replaced } = open();
    membership.set(member);
    await turn();
    const calls = replaced.mock.calls.length;
    membership.set({ ...member });
    await turn();
    expect(replaced).toHaveBeenCalledTimes(calls);
    expect(local.hellos).toHaveLength(1);
  });

  test('leave out a shard that has resigned, unless it is the last one', async () => {
    const { links: all, membership, local, replaced } = open();
    membership.set(member);
    await turn();
    local.attendee?.stands('resigned');
    await turn();
    expect(all.state).toMatchObject({ usable: 'all', shards: 1, linked: 1 });
    const other: Member = { ...member, id: 'z', address: '127.0.0.1:1' };
    membership.set(member, other);
    await turn();
    expect(all.state).toMatchObject({ shards: 1, linked: 0 });
    expect(replaced.mock.lastCall?.[0](blob, 0)).toBe(true);
    expect(local.rearranged).toHaveBeenLastCalledWith(1);
    local.attendee?.stands('decides');
    await turn();
    await turn();
    expect(all.state).toMatchObject({ shards: 2, linked: 1 });
  });

  test('introduce the node anew when its zone becomes known', async () => {
    const holding = { blob, piece: 7, crc32c: 1, verified: true };
    const { membership, local, self } = open([holding]);
    membership.set(member);
    await turn();
    self.current = { ...self.current, zone: 'zone-b' };
    membership.set({ ...member, zone: 'zone-b' });
    await turn();
    expect(local.hellos.map(({ zone }) => zone)).toEqual(['', 'zone-b']);
    expect(local.left).toBe(1);
    expect(local.heard).toEqual([
      { kind: 'have', ...holding },
      { kind: 'have', ...holding },
    ]);
  });

  test('tell new slots to the shards that stand and to those that come', async () => {
    const { links: all, membership, local } = open();
    all.update({ slots: 3 });
    membership.set(member);
    await turn();
    all.update({ slots: 4 });
    expect(local.hellos.map(({ slots }) => slots)).toEqual([3, 4]);
  });

  test('say nothing more once they are closed', async () => {
    const { links: all, membership, local, received } = open();
    membership.set(member);
    await turn();
    local.answer = { kind: 'alone', blob, piece: 0 };
    all.say(want);
    await all.close();
    await turn();
    all.say(want);
    membership.set();
    await turn();
    expect(received).toEqual([]);
    expect(local.left).toBe(1);
    expect(local.heard).toEqual([want]);
  });
});
