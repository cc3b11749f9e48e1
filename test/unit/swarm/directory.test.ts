import { describe, expect, test } from 'vitest';
import { defaultLimits } from '../../../src/swarm/limits.ts';
import { blob, Shard } from './shard.ts';

function shardWith(...ids: string[]): Shard {
  const shard = new Shard();
  for (const id of ids) shard.join(id);
  return shard;
}

describe('leases', () => {
  test('of all who want a piece that nobody has, one gets the lease and the others wait', () => {
    const shard = shardWith('a', 'b', 'c');
    for (const id of ['a', 'b', 'c']) shard.want(id);
    expect(shard.decisions()).toEqual(['a lease 0']);
  });

  test('who waits is told where to take the piece from as soon as the lease holder has it, with its CRC32C', () => {
    const shard = shardWith('a', 'b');
    shard.want('a');
    shard.want('b');
    shard.decisions();
    shard.have('a', 0, 0xe3069283);
    expect(shard.sent).toEqual([
      {
        to: 'b',
        message: {
          kind: 'take',
          blob,
          piece: 0,
          crc32c: 0xe3069283,
          peers: [expect.objectContaining({ id: 'a', address: 'a:65001' })],
        },
      },
    ]);
  });

  test('an agent that has no lease to spare gets none', () => {
    const shard = shardWith('a', 'b');
    shard.want('a', 0, { lease: false });
    expect(shard.decisions()).toEqual([]);
    shard.want('b');
    expect(shard.decisions()).toEqual(['b lease 0']);
  });

  test('an agent that finds a lease to spare later wants again', () => {
    const shard = shardWith('a');
    shard.want('a', 0, { lease: false });
    shard.want('a', 0, { lease: true });
    expect(shard.decisions()).toEqual(['a lease 0']);
  });

  test('a want repeated while its lease is on its way is not decided twice', () => {
    const shard = shardWith('a', 'b');
    shard.want('a');
    shard.want('b');
    shard.want('a', 0, { urgent: true });
    expect(shard.decisions()).toEqual(['a lease 0']);
  });

  test('a lease without progress lapses, and the next waiter gets it', () => {
    const shard = shardWith('a', 'b');
    shard.want('a');
    shard.want('b');
    shard.decisions();
    shard.advance(14_999);
    expect(shard.decisions()).toEqual([]);
    expect(shard.directory.nextDeadline).toBe(15_000);
    shard.advance(1);
    expect(shard.decisions()).toEqual(['b lease 0']);
  });

  test('a lease that makes progress does not lapse', () => {
    const shard = shardWith('a', 'b');
    shard.want('a');
    shard.want('b');
    shard.decisions();
    for (let seconds = 0; seconds < 60; seconds += 5) {
      shard.advance(5_000);
      shard.say('a', { kind: 'progress', blob, piece: 0 });
    }
    expect(shard.decisions()).toEqual([]);
    shard.advance(15_000);
    expect(shard.decisions()).toEqual(['b lease 0']);
  });

  test('a lease passes on when its holder leaves or gives it back', () => {
    const shard = shardWith('a', 'b', 'c');
    for (const id of ['a', 'b', 'c']) shard.want(id);
    shard.leave('a');
    expect(shard.decisions()).toEqual(['a lease 0', 'b lease 0']);
    shard.cancel('b');
    expect(shard.decisions()).toEqual(['c lease 0']);
  });

  test('of several who wait, the one with the best link fetches for all', () => {
    const shard = new Shard({ settleTime: 500 });
    shard.join('slow', { slots: 1 });
    shard.join('fast', { slots: 12 });
    for (const id of ['slow', 'fast']) shard.want(id);
    shard.advance(500);
    expect(shard.decisions()).toEqual(['fast lease 0']);
  });

  test('of several with as many slots, the one with the quickest link fetches for all', () => {
    const shard = new Shard({ settleTime: 500 });
    shard.join('slow', { pace: 23 });
    shard.join('quick', { pace: 24 });
    for (const id of ['slow', 'quick']) shard.want(id);
    shard.advance(500);
    expect(shard.decisions()).toEqual(['quick lease 0']);
  });

  describe('of a node that is much slower than most', () => {
    function shardWithSlow(): Shard {
      const shard = new Shard();
      for (const id of ['a', 'b', 'c']) shard.join(id, { pace: 24 });
      shard.join('slow', { pace: 20 });
      return shard;
    }

    test('go to another one that waits and fetches at present, though it did not offer that', () => {
      const shard = shardWithSlow();
      shard.want('a', 0);
      shard.want('a', 1, { lease: false });
      shard.want('b', 1, { lease: false });
      shard.want('slow', 1);
      expect(shard.decisions()).toEqual(['a lease 0', 'a lease 1']);
    });

    test('are its own where the others have not fetched for a while, or do not wait', () => {
      const shard = shardWithSlow();
      shard.want('a', 0);
      shard.advance(2_001);
      shard.want('a', 1, { lease: false });
      shard.want('slow', 1);
      shard.want('slow', 2);
      expect(shard.decisions()).toEqual(['a lease 0', 'slow lease 1', 'slow lease 2']);
    });

    test('do not go to one that has just given a lease back', () => {
      const shard = shardWithSlow();
      shard.want('a', 0);
      shard.want('a', 1, { lease: false });
      shard.cancel('a', 0);
      shard.want('slow', 1);
      expect(shard.decisions()).toEqual(['a lease 0', 'slow lease 1']);
    });

    test('are its own where all are equally slow', () => {
      const shard = new Shard();
      for (const id of ['a', 'b']) shard.join(id, { pace: 20 });
      shard.want('a', 0, { lease: false });
      shard.want('b', 0);
      expect(shard.decisions()).toEqual(['b lease 0']);
    });
  });

  test('a shard has out only its share of the leases at one origin', () => {
    const shard = new Shard({ shards: 16 });
    shard.join('a');
    for (let piece = 0; piece < 5; piece += 1) shard.want('a', piece);
    expect(shard.decisions()).toEqual(['a lease 0', 'a lease 1']);
    shard.advance(2_000);
    shard.have('a', 0);
    expect(shard.decisions()).toEqual(['a lease 2']);
  });

  test('that share grows while leases end soon, fourfold at most, and shrinks to one while they end late', () => {
    const shard = new Shard({ shards: 16 });
    shard.join('a');
    for (let piece = 0; piece < 100; piece += 1) shard.want('a', piece);
    const underWay = shard.decisions().map((decision) => Number(decision.split(' ')[2]));
    const endAll = (after: number): void => {
      shard.advance(after);
      for (const piece of underWay.splice(0)) {
        shard.have('a', piece);
        underWay.push(...shard.decisions().map((decision) => Number(decision.split(' ')[2])));
      }
    };
    expect(underWay).toHaveLength(2);
    for (let round = 0; round < 4; round += 1) endAll(10);
    expect(underWay).toHaveLength(8);
    for (let round = 0; round < 4; round += 1) endAll(5_000);
    expect(underWay).toHaveLength(1);
  });

  test('another origin has leases of its own', () => {
    const shard = new Shard({ shards: 64 });
    shard.join('a');
    shard.want('a', 0);
    shard.want('a', 1);
    shard.say('a', {
      kind: 'want',
      blob: 'sha256:b',
      piece: 0,
      lease: true,
      urgent: false,
      source: 'other.example/app',
    });
    expect(shard.sent.map(({ message }) => message.blob)).toEqual([blob, 'sha256:b']);
  });

  test('after a change of membership, holders have time to announce themselves before the origin is asked', () => {
    const shard = new Shard({ settleTime: 500 });
    for (const id of ['a', 'b']) shard.join(id);
    shard.want('a', 0);
    shard.want('a', 1);
    expect(shard.decisions()).toEqual([]);
    shard.have('b', 0);
    expect(shard.decisions()).toEqual(['a take 0 from b']);
    expect(shard.directory.nextDeadline).toBe(500);
    shard.advance(500);
    expect(shard.decisions()).toEqual(['a lease 1']);
  });
});

describe('holders', () => {
  test('a crowd takes a fresh piece in generations', () => {
    const crowd = Array.from({ length: 20 }, (_, ordinal) => `n${ordinal}`);
    const shard = shardWith('a', ...crowd);
    shard.have('a');
    for (const id of crowd) shard.want(id);
    expect(shard.decisions()).toHaveLength(3);
    shard.have('n0');
    // One holder more and one take less under way.
    expect(shard.decisions()).toHaveLength(4);
  });

  describe('with a link much slower than most', () => {
    function shardWithSlow(): Shard {
      const shard = new Shard();
      for (const id of ['a', 'b', 'c']) shard.join(id, { slots: 12, pace: 24 });
      shard.join('slow', { slots: 12, pace: 21 });
      return shard;
    }

    test('give a piece to one at a time', () => {
      const shard = shardWithSlow();
      shard.have('slow');
      for (const id of ['a', 'b', 'c']) shard.want(id);
      expect(shard.decisions()).toEqual(['a take 0 from slow']);
      shard.have('a');
      expect(shard.decisions()).toEqual(['b take 0 from a,slow', 'c take 0 from a,slow']);
    });

    test('are asked last', () => {
      const shard = shardWithSlow();
      for (let piece = 0; piece < 10; piece += 1) {
        shard.have('slow', piece);
        shard.have('a', piece);
        shard.want('b', piece);
      }
      const peers = shard.sent.map(({ message }) => (message.kind === 'take' ? message.peers.map(({ id }) => id) : []));
      expect(peers).toEqual(Array.from({ length: 10 }, () => ['a', 'slow']));
    });
  });

  test('the urgent come first', () => {
    const shard = shardWith('a', 'b', 'c', 'd');
    for (const id of ['a', 'b', 'c']) shard.want(id);
    shard.want('d', 0, { urgent: true });
    shard.decisions();
    shard.have('a');
    expect(shard.decisions()[0]).toBe('d take 0 from a');
  });

  test('who no longer has a piece is not named', () => {
    const shard = shardWith('a', 'b', 'c');
    shard.have('a');
    shard.have('b');
    shard.say('a', { kind: 'gone', blob, piece: 0 });
    shard.want('c');
    expect(shard.decisions()).toEqual(['c take 0 from b']);
  });

  test('when the last holder is gone, the piece is leased again', () => {
    const shard = shardWith('a', 'b');
    shard.have('a');
    shard.leave('a');
    shard.want('b');
    expect(shard.decisions()).toEqual(['b lease 0']);
  });

  test('a peer without the piece is no holder for anyone; its other pieces stay', () => {
    const shard = shardWith('a', 'b', 'c');
    shard.have('a', 0);
    shard.have('a', 1);
    shard.say('b', { kind: 'failed', blob, piece: 0, peer: 'a', failure: 'absent' });
    shard.want('c', 0);
    shard.want('c', 1);
    expect(shard.decisions()).toEqual(['c lease 0', 'c take 1 from a']);
  });

  test('who could not reach a peer is not sent to it for 30 s; others are', () => {
    const shard = shardWith('a', 'b', 'c');
    shard.have('a', 0);
    shard.have('a', 1);
    shard.say('b', { kind: 'failed', blob, piece: 0, peer: 'a', failure: 'unreachable' });
    shard.want('c', 0);
    shard.want('b', 1);
    expect(shard.decisions()).toEqual(['c take 0 from a', 'b lease 1']);
    shard.cancel('b', 1);
    shard.cancel('c', 0);
    shard.advance(30_000);
    shard.want('b', 1);
    expect(shard.decisions()).toEqual(['b take 1 from a']);
  });

  test('who can reach no holder waits for another one while there will be one', () => {
    const shard = shardWith('a', 'b', 'c');
    shard.have('a');
    shard.say('b', { kind: 'failed', blob, piece: 0, peer: 'a', failure: 'unreachable' });
    shard.want('c');
    shard.want('b');
    expect(shard.decisions()).toEqual(['c take 0 from a']);
    shard.have('c');
    expect(shard.decisions()).toEqual(['b take 0 from c']);
  });
});

describe('zones', () => {
  test('the first of a zone takes a piece across, the rest of the zone waits for it', () => {
    const shard = new Shard();
    shard.join('a', { zone: 'x' });
    for (const id of ['b', 'c', 'd']) shard.join(id, { zone: 'y' });
    shard.have('a');
    for (const id of ['b', 'c', 'd']) shard.want(id);
    expect(shard.decisions()).toEqual(['b take 0 from a']);
    shard.have('b');
    expect(shard.decisions()).toEqual(['c take 0 from b', 'd take 0 from b']);
  });

  test('of a zone that waits, the one with the best link crosses', () => {
    const shard = new Shard();
    shard.join('a', { zone: 'x' });
    shard.join('slow', { zone: 'y', slots: 1 });
    shard.join('fast', { zone: 'y', slots: 12 });
    for (const id of ['a', 'slow', 'fast']) shard.want(id);
    shard.have('a');
    expect(shard.decisions()).toEqual(['a lease 0', 'fast take 0 from a']);
  });

  test('a crossing that fails passes to the next of the zone', () => {
    const shard = new Shard();
    shard.join('a', { zone: 'x' });
    for (const id of ['b', 'c']) shard.join(id, { zone: 'y' });
    shard.have('a');
    for (const id of ['b', 'c']) shard.want(id);
    shard.cancel('b');
    expect(shard.decisions()).toEqual(['b take 0 from a', 'c take 0 from a']);
  });

  test('the zone of the lease holder takes from it, the others cross once each', () => {
    const shard = new Shard();
    for (const id of ['a1', 'a2']) shard.join(id, { zone: 'x' });
    for (const id of ['b1', 'b2']) shard.join(id, { zone: 'y' });
    for (const id of ['a1', 'a2', 'b1', 'b2']) shard.want(id);
    shard.have('a1');
    expect(shard.decisions()).toEqual(['a1 lease 0', 'a2 take 0 from a1', 'b1 take 0 from a1']);
  });
});

describe('mirrors', () => {
  test('a mirror gets the lease though it did not ask, with the source to fetch from', () => {
    const shard = shardWith('a');
    shard.join('m', { role: 'mirror', leases: 2 });
    shard.want('a', 0, { lease: false });
    expect(shard.sent).toEqual([
      { to: 'm', message: { kind: 'lease', blob, piece: 0, source: 'registry.example/app' } },
    ]);
    shard.decisions();
    shard.have('m');
    expect(shard.decisions()).toEqual(['a take 0 from m']);
  });

  test('mirrors get no more leases than they offered; then the agents themselves go', () => {
    const shard = shardWith('a');
    shard.join('m', { role: 'mirror', leases: 2 });
    for (let piece = 0; piece < 3; piece += 1) shard.want('a', piece);
    expect(shard.decisions()).toEqual(['m lease 0', 'm lease 1', 'a lease 2']);
  });

  test('when no mirror can fetch a piece, who wants it does', () => {
    const shard = shardWith('a');
    shard.join('m', { role: 'mirror', leases: 2 });
    shard.join('n', { role: 'mirror', leases: 1 });
    shard.want('a');
    shard.cancel('m');
    shard.advance(15_000);
    expect(shard.decisions()).toEqual(['m lease 0', 'n lease 0', 'a lease 0']);
  });
});

describe('trust', () => {
  test('an agent whose bytes three others found wrong is no holder any more', () => {
    const shard = shardWith('bad', 'b', 'c', 'd', 'e');
    shard.have('bad');
    for (const id of ['b', 'c']) shard.say(id, { kind: 'failed', blob, piece: 0, peer: 'bad', failure: 'corrupt' });
    shard.want('e');
    expect(shard.decisions()).toEqual(['e take 0 from bad']);
    shard.cancel('e');
    shard.say('d', { kind: 'failed', blob, piece: 0, peer: 'bad', failure: 'corrupt' });
    shard.want('e');
    expect(shard.decisions()).toEqual(['e lease 0']);
    shard.have('bad', 1);
    shard.want('e', 1);
    expect(shard.decisions()).toEqual(['e lease 1']);
    expect(shard.directory.stat.banned).toBe(1);
  });

  test('one accuser alone, however loud, bans nobody', () => {
    const shard = shardWith('good', 'liar', 'c');
    shard.have('good');
    for (let time = 0; time < 10; time += 1) {
      shard.say('liar', { kind: 'failed', blob, piece: 0, peer: 'good', failure: 'corrupt' });
    }
    shard.want('c');
    expect(shard.decisions()).toEqual(['c take 0 from good']);
  });

  test('who announces another CRC32C than the one known is not made a holder', () => {
    const shard = shardWith('a', 'b', 'c');
    shard.have('a', 0, 7);
    shard.have('b', 0, 8);
    shard.want('c');
    expect(shard.decisions()).toEqual(['c take 0 from a']);
    expect(shard.directory.stat.disputes).toBe(1);
  });

  test('who has checked the whole blob outranks who has not', () => {
    const shard = shardWith('a', 'b', 'c');
    shard.have('a', 0, 7);
    shard.have('b', 0, 8, true);
    shard.want('c');
    expect(shard.sent).toEqual([
      { to: 'c', message: expect.objectContaining({ crc32c: 8, peers: [expect.objectContaining({ id: 'b' })] }) },
    ]);
  });

  test('a blob that two agents found spoiled is forgotten and leased anew; one report alone changes nothing for others', () => {
    const shard = shardWith('a', 'b', 'c', 'd');
    shard.have('a');
    shard.say('b', { kind: 'spoiled', blob });
    shard.want('d');
    expect(shard.decisions()).toEqual(['d take 0 from a']);
    shard.cancel('d');
    shard.say('c', { kind: 'spoiled', blob });
    shard.want('d');
    expect(shard.decisions()).toEqual(['d lease 0']);
  });

  test('reports about what was there before the purge do not purge what came after it', () => {
    const shard = shardWith('a', 'b', 'c', 'd', 'e', 'f');
    shard.have('a');
    for (const id of ['b', 'c']) shard.say(id, { kind: 'spoiled', blob });
    shard.have('d');
    for (const id of ['e', 'f']) shard.say(id, { kind: 'spoiled', blob });
    shard.want('b');
    expect(shard.decisions()).toEqual(['b take 0 from d']);
  });

  test('an agent alone with its finding fetches from the origin by itself', () => {
    const shard = shardWith('a', 'b');
    shard.have('a');
    shard.say('b', { kind: 'spoiled', blob });
    shard.want('b');
    expect(shard.decisions()).toEqual(['b alone 0']);
  });

  test('whoever published a CRC32C that the refetched pieces contradict three times is banned', () => {
    const shard = shardWith('bad', 'a', 'b', 'c', 'd');
    for (const piece of [0, 1, 2]) shard.have('bad', piece, 7);
    for (const id of ['a', 'b']) shard.say(id, { kind: 'spoiled', blob });
    for (const [piece, id] of ['a', 'b', 'c'].entries()) {
      shard.want(id, piece);
      shard.have(id, piece, 8);
    }
    expect(shard.directory.stat.banned).toBe(1);
    shard.decisions();
    shard.have('bad', 5, 9);
    shard.want('d', 5);
    expect(shard.decisions()).toEqual(['d lease 5']);
  });
});

describe('bounds', () => {
  test('beyond its bound of wants an agent is told to go alone', () => {
    const shard = new Shard({ limits: { ...defaultLimits, wantsPerAgent: 2 } });
    shard.join('a');
    for (const piece of [0, 1, 2]) shard.want('a', piece);
    expect(shard.decisions()).toEqual(['a lease 0', 'a lease 1', 'a alone 2']);
  });

  test('beyond its bound of pieces a shard keeps no book of new ones', () => {
    const shard = new Shard({ limits: { ...defaultLimits, pieces: 2 } });
    for (const id of ['a', 'b']) shard.join(id);
    for (const piece of [0, 1, 2]) shard.have('a', piece);
    expect(shard.directory.stat.pieces).toBe(2);
    shard.want('b', 2);
    expect(shard.decisions()).toEqual(['b alone 2']);
  });

  test('beyond its bound of announcements an agent is not listened to', () => {
    const shard = new Shard({ limits: { ...defaultLimits, holdingsPerAgent: 1 } });
    for (const id of ['a', 'b']) shard.join(id);
    for (const piece of [0, 1]) shard.have('a', piece);
    shard.want('b', 1);
    expect(shard.decisions()).toEqual(['b lease 1']);
  });

  test('a full shard takes no further agent, but one that comes back', () => {
    const shard = new Shard({ limits: { ...defaultLimits, agents: 1 } });
    shard.join('a');
    shard.join('b');
    expect(shard.directory.stat.agents).toBe(1);
    shard.want('b');
    shard.join('a');
    shard.want('a');
    expect(shard.decisions()).toEqual(['a lease 0']);
  });

  test('a piece index beyond what a blob can have is refused', () => {
    const shard = shardWith('a');
    for (const piece of [-1, 1.5, 2 ** 20, Number.NaN]) shard.want('a', piece);
    expect(shard.decisions()).toEqual([]);
    expect(shard.directory.stat).toMatchObject({ pieces: 0, refused: 4 });
  });

  test('nothing is left in the book when all have left', () => {
    const shard = shardWith('a', 'b', 'c');
    shard.have('a', 0);
    for (const id of ['b', 'c']) for (const piece of [0, 1]) shard.want(id, piece);
    for (const id of ['a', 'b', 'c']) shard.leave(id);
    expect(shard.directory.stat).toMatchObject({ agents: 0, blobs: 0, pieces: 0 });
  });
});
