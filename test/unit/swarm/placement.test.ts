import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { largestDirectory, type Member, Placement, piecesPerBucket } from '../../../src/swarm/placement.ts';

function member(ordinal: number, scheduler = false): Member {
  return { id: `10.${ordinal >> 16}.${(ordinal >> 8) & 255}.${ordinal & 255}:65001`, scheduler };
}

function members(count: number): Member[] {
  return Array.from({ length: count }, (_, ordinal) => member(ordinal));
}

function digest(ordinal: number): string {
  return `sha256:${ordinal.toString(16).padStart(64, '0')}`;
}

/** The shard of each of `count` buckets, in blobs of 64 buckets. */
function shards(placement: Placement, count: number): (string | undefined)[] {
  return Array.from({ length: count }, (_, bucket) =>
    placement.blob(digest(bucket >> 6)).shardOf((bucket & 63) * piecesPerBucket),
  );
}

function countBy(values: readonly (string | undefined)[]): Map<string | undefined, number> {
  const counts = new Map<string | undefined, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

describe('placement', () => {
  test('every node computes the same, in whatever order it learned of the members', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(5_000), { minLength: 1, maxLength: 150 }), fc.nat(), (ordinals, piece) => {
        const one = new Placement(ordinals.map((ordinal) => member(ordinal)));
        const other = new Placement(ordinals.toReversed().map((ordinal) => member(ordinal)));
        expect(other.directory).toEqual(one.directory);
        expect(other.blob(digest(1)).shardOf(piece)).toBe(one.blob(digest(1)).shardOf(piece));
        expect(one.directory).toContain(one.blob(digest(1)).shardOf(piece));
      }),
    );
  });

  test('pieces of one bucket share a shard', () => {
    const blob = new Placement(members(100)).blob(digest(7));
    for (let piece = 0; piece < piecesPerBucket; piece += 1) expect(blob.shardOf(piece)).toBe(blob.shardOf(0));
  });

  test('each of 64 shards gets its share of the buckets', () => {
    const placement = new Placement(members(1_000));
    const counts = [...countBy(shards(placement, 25_600)).values()];
    expect(counts).toHaveLength(largestDirectory);
    // 400 each; the deviation of a fair throw is 20, and of 64 throws the most extreme lies within 4 of them.
    expect(Math.min(...counts)).toBeGreaterThan(320);
    expect(Math.max(...counts)).toBeLessThan(480);
  });

  test('every member is as likely as another to host shards', () => {
    const hosted = new Map<string, number>();
    for (let swarm = 0; swarm < 200; swarm += 1) {
      const placement = new Placement(Array.from({ length: 128 }, (_, ordinal) => member(swarm * 128 + ordinal)));
      placement.directory.forEach((id) => {
        const parity = Number(id.split(':')[0]?.split('.')[3]) % 4;
        hosted.set(`${parity}`, (hosted.get(`${parity}`) ?? 0) + 1);
      });
    }
    for (const count of hosted.values()) expect(Math.abs(count - 3_200)).toBeLessThan(200);
  });

  test('a member that leaves moves only its own share', () => {
    const all = members(300);
    const before = new Placement(all);
    const leaver = before.directory[10];
    const after = new Placement(all.filter(({ id }) => id !== leaver));
    const heir = after.directory.find((id) => !before.directory.includes(id));
    const was = shards(before, 6_400);
    const is = shards(after, 6_400);
    for (const [bucket, shard] of was.entries()) {
      if (shard !== is[bucket]) expect(shard === leaver || is[bucket] === heir).toBe(true);
    }
    // Its own 1/64, and the 1/64 that its heir in the directory draws from all.
    expect(was.filter((shard, bucket) => shard !== is[bucket]).length).toBeLessThan(6_400 * 0.05);
  });

  test('a member outside of the directory comes and goes without moving anything', () => {
    fc.assert(
      fc.property(fc.integer({ min: 300, max: 9_000 }), (ordinal) => {
        const before = new Placement(members(300));
        const after = new Placement([...members(300), member(ordinal)]);
        fc.pre(!after.directory.includes(member(ordinal).id));
        expect(after.directory).toEqual(before.directory);
        expect(shards(after, 64)).toEqual(shards(before, 64));
      }),
      { numRuns: 20 },
    );
  });

  test('with schedulers in the swarm, agents host no shards', () => {
    const placement = new Placement([...members(50), member(9_000, true), member(9_001, true)]);
    expect([...placement.directory].sort()).toEqual([member(9_000).id, member(9_001).id]);
  });

  test('a swarm without members has no shard', () => {
    expect(new Placement([]).blob(digest(1)).shardOf(0)).toBeUndefined();
  });
});
