import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Member } from '../../../src/swarm/membership/types.ts';
import type { ShardMessage } from '../../../src/swarm/messages.ts';
import { MirrorDirectory, rankMirrors } from '../../../src/swarm/mirror-directory.ts';

const blob = `sha256:${'a'.repeat(64)}`;
const mirror = (id: string): Member => ({ id, address: `${id}:65001`, zone: '', role: 'mirror' });
const want = (piece: number, lease = true) =>
  ({ kind: 'want', blob, piece, lease, urgent: false, source: 'reg.test/app' }) as const;

function create(...ids: string[]) {
  const mirrors = ids.map(mirror);
  const sent: ShardMessage[] = [];
  const directory = new MirrorDirectory({ mirrors: () => mirrors, send: (message) => sent.push(message) });
  const decided = async (): Promise<ShardMessage[]> => {
    await turn();
    return sent.splice(0);
  };
  return { mirrors, directory, decided };
}

describe('with mirrors alone', () => {
  test('a piece is to be taken from its mirrors, nobody vouching for the bytes', async () => {
    const { directory, decided } = create('m1', 'm2');
    directory.say(want(3));
    expect(await decided()).toEqual([
      { kind: 'take', blob, piece: 3, crc32c: undefined, peers: rankMirrors([mirror('m1'), mirror('m2')], blob, 3) },
    ]);
  });

  test('it comes from the origin when all of them failed, as far as there is a lease', async () => {
    const { directory, decided } = create('m1', 'm2');
    for (const peer of ['m1', 'm2']) directory.say({ kind: 'failed', blob, piece: 3, peer, failure: 'absent' });
    directory.say(want(3, false));
    expect(await decided()).toEqual([]);
    directory.say(want(3));
    expect(await decided()).toEqual([{ kind: 'lease', blob, piece: 3, source: 'reg.test/app' }]);
    directory.say({ kind: 'have', blob, piece: 3, crc32c: 1, verified: false });
    directory.say(want(3));
    expect(await decided()).toMatchObject([{ kind: 'take' }]);
  });

  test('a want that is repeated at once is answered once', async () => {
    const { directory, decided } = create('m1');
    directory.say(want(3, false));
    directory.say(want(3));
    expect(await decided()).toHaveLength(1);
  });

  test('there is nobody to ask once no mirror is reachable', async () => {
    const { directory, mirrors } = create('m1');
    expect(directory.usable).toBe(true);
    mirrors.pop();
    expect(directory.usable).toBe(false);
  });
});

describe("a piece's mirrors", () => {
  const mirrors = ['m1', 'm2', 'm3'].map(mirror);
  const firstOf = (some: readonly Member[], piece: number) => rankMirrors(some, blob, piece)[0]?.id;

  test('are the same on every node, whatever the order in which it knows them', () => {
    for (let piece = 0; piece < 1_000; piece += 32) {
      expect(rankMirrors(mirrors.toReversed(), blob, piece)).toEqual(rankMirrors(mirrors, blob, piece));
    }
  });

  test('share the work, and take over that of one that leaves, and nothing else', () => {
    const counts = new Map<string | undefined, number>();
    const left = mirrors.slice(1);
    for (let bucket = 0; bucket < 3_000; bucket += 1) {
      const first = firstOf(mirrors, bucket * 32);
      counts.set(first, (counts.get(first) ?? 0) + 1);
      if (first !== 'm1') expect(firstOf(left, bucket * 32)).toBe(first);
    }
    for (const { id } of mirrors) expect(counts.get(id)).toBeGreaterThan(800);
  });
});
