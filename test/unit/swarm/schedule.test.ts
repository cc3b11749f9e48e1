import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../../bench/simulate/random.ts';
import type { AgentMessage, Failure, Peer, Want } from '../../../src/swarm/messages.ts';
import { Schedule, type ScheduleLimits } from '../../../src/swarm/schedule.ts';

const blob = `sha256:${'b'.repeat(64)}`;
const pieceBytes = 4 * 2 ** 20;

/** A schedule with a clock that the test moves, and a record of what it has others do. */
class Driver {
  now = 0;
  readonly said: AgentMessage[] = [];
  readonly done: string[] = [];
  readonly schedule: Schedule;

  constructor(limits: Partial<ScheduleLimits> = {}) {
    this.schedule = new Schedule({
      limits: { downloads: 2, leases: 2, windowBytes: 1_000 * pieceBytes, ...limits },
      now: () => this.now,
      random: seededRandom(1),
      output: {
        say: (message) => this.said.push(message),
        download: (_, piece, peer) => this.done.push(`download ${piece} from ${peer.id}`),
        fetch: (_, piece) => this.done.push(`fetch ${piece}`),
        abort: (_, piece, peer) => this.done.push(`abort ${piece} from ${peer}`),
      },
    });
  }

  add(pieces: number, held: number[] = []): void {
    this.schedule.add({ blob, pieces, pieceBytes, source: 'registry.example/app' }, held);
  }

  take(piece: number, ...peers: string[]): void {
    this.schedule.decided({ kind: 'take', blob, piece, crc32c: 7, peers: peers.map(peerOf) });
  }

  lease(piece: number): void {
    this.schedule.decided({ kind: 'lease', blob, piece, source: 'registry.example/app' });
  }

  failed(piece: number, peer: string, failure: Failure): void {
    this.schedule.failed(blob, piece, peer, failure);
  }

  /** What was said since the last call, of one kind: the pieces. */
  pieces(kind: Exclude<AgentMessage['kind'], 'spoiled'>): number[] {
    return this.said
      .splice(0)
      .filter((message) => message.kind === kind)
      .flatMap((message) => (message.kind === 'spoiled' ? [] : [message.piece]));
  }

  actions(): string[] {
    return this.done.splice(0);
  }

  advance(milliseconds: number): void {
    this.now += milliseconds;
    this.schedule.tick();
  }
}

function peerOf(id: string): Peer {
  return { id, address: `${id}:65001` };
}

/** The wants that a shard would have open after these messages. */
function openWants(messages: readonly AgentMessage[]): Iterable<Want> {
  const open = new Map<number, Want>();
  for (const message of messages) {
    if (message.kind === 'want') open.set(message.piece, message);
    else if (message.kind === 'cancel') open.delete(message.piece);
  }
  return open.values();
}

function sorted(numbers: readonly number[]): number[] {
  return numbers.toSorted((one, other) => one - other);
}

describe('order', () => {
  test('every piece that is not here is asked for, once, and in another order than the blob has', () => {
    const driver = new Driver();
    driver.add(40, [3, 4]);
    const asked = driver.pieces('want');
    expect(sorted(asked)).toEqual(
      Array.from({ length: 40 }, (_, piece) => piece).filter((piece) => piece !== 3 && piece !== 4),
    );
    expect(asked).not.toEqual(sorted(asked));
  });

  test('nothing is asked for beyond the window until the reader moves on', () => {
    const driver = new Driver({ windowBytes: 10 * pieceBytes });
    driver.add(40);
    expect(Math.max(...driver.pieces('want'))).toBeLessThan(10);
    for (let piece = 0; piece < 5; piece += 1) {
      driver.take(piece, 'p');
      driver.schedule.downloaded(blob, piece, 'p', 7);
    }
    driver.pieces('want');
    driver.schedule.readerAt(blob, 5);
    expect(sorted(driver.pieces('want'))).toEqual([5, 10, 11, 12, 13, 14]);
  });

  test("the reader's next piece is asked for urgently, wherever it lies", () => {
    const driver = new Driver({ windowBytes: 10 * pieceBytes });
    driver.add(40);
    driver.said.length = 0;
    driver.schedule.readerAt(blob, 30);
    expect(driver.said).toContainEqual(expect.objectContaining({ kind: 'want', piece: 30, urgent: true, lease: true }));
  });

  test('a sliding window is wanted in part, so that nodes complement one another', () => {
    const driver = new Driver({ windowBytes: 256 * pieceBytes });
    driver.add(1_000);
    expect(driver.pieces('want')).toHaveLength(64);
  });

  test('blobs come in the order in which they were added, as far as the window reaches', () => {
    const driver = new Driver({ windowBytes: 6 * pieceBytes });
    driver.add(4);
    driver.schedule.add({ blob: 'sha256:second', pieces: 4, pieceBytes, source: '' });
    const blobs = driver.said.map((message) => message.blob);
    expect(blobs.filter((each) => each === blob)).toHaveLength(4);
    expect(blobs.filter((each) => each === 'sha256:second')).toHaveLength(2);
  });
});

describe('leases', () => {
  test('no more wants offer a lease than there are leases to spare', () => {
    const driver = new Driver({ leases: 2 });
    driver.add(10);
    expect(driver.said.filter((message) => message.kind === 'want' && message.lease)).toHaveLength(2);
  });

  test('a lease that is over is offered with another want', () => {
    const driver = new Driver({ leases: 1 });
    driver.add(3);
    const first = driver.said.find((message) => message.kind === 'want' && message.lease);
    if (first?.kind !== 'want') throw new Error('no lease was offered');
    driver.lease(first.piece);
    expect(driver.actions()).toEqual([`fetch ${first.piece}`]);
    driver.said.length = 0;
    driver.schedule.fetched(blob, first.piece, 9);
    expect(driver.said).toContainEqual({ kind: 'have', blob, piece: first.piece, crc32c: 9, verified: false });
    expect(driver.said.filter((message) => message.kind === 'want' && message.lease)).toHaveLength(1);
  });

  test('a lease that is over goes to what a reader waits for, however many wants are older', () => {
    const driver = new Driver({ leases: 1 });
    driver.add(8);
    const first = driver.said.find((message) => message.kind === 'want' && message.lease);
    if (first?.kind !== 'want') throw new Error('no lease was offered');
    driver.lease(first.piece);
    const awaited = first.piece === 7 ? 6 : 7;
    driver.schedule.await(blob, awaited);
    driver.said.length = 0;
    driver.schedule.fetched(blob, first.piece, 1);
    const offered = driver.said.flatMap((message) => (message.kind === 'want' && message.lease ? [message.piece] : []));
    expect(offered).toEqual([awaited]);
  });

  test('a lease that the origin fails is given back at once, and asked for again after a pause', () => {
    const driver = new Driver();
    driver.add(1);
    driver.lease(0);
    driver.said.length = 0;
    driver.schedule.fetchFailed(blob, 0);
    expect(driver.said).toEqual([{ kind: 'cancel', blob, piece: 0 }]);
    driver.now = driver.schedule.nextDeadline ?? 0;
    driver.schedule.tick();
    expect(driver.pieces('want')).toEqual([0]);
  });

  test('what is under way is reported every 5 s', () => {
    const driver = new Driver();
    driver.add(2);
    driver.lease(0);
    expect(driver.schedule.nextDeadline).toBe(5_000);
    driver.said.length = 0;
    driver.advance(5_000);
    expect(driver.pieces('progress')).toEqual([0]);
  });
});

describe('peers', () => {
  test('no more downloads run at once than allowed; the next starts as soon as one ends', () => {
    const driver = new Driver({ downloads: 1 });
    driver.add(3);
    driver.take(0, 'p');
    driver.take(1, 'q');
    expect(driver.actions()).toEqual(['download 0 from p']);
    driver.schedule.downloaded(blob, 0, 'p', 7);
    expect(driver.actions()).toEqual(['download 1 from q']);
  });

  test('what readers wait for goes first, in the order in which they came to wait', () => {
    const driver = new Driver({ downloads: 1 });
    driver.add(6);
    driver.take(0, 'p');
    for (const piece of [1, 2]) driver.take(piece, 'p');
    for (const piece of [2, 3, 4]) driver.schedule.await(blob, piece);
    for (const piece of [4, 3]) driver.take(piece, 'p');
    driver.actions();
    for (const piece of [0, 2, 3, 4]) driver.schedule.downloaded(blob, piece, 'p', 7);
    expect(driver.actions()).toEqual([2, 3, 4, 1].map((piece) => `download ${piece} from p`));
  });

  test('a piece that few have is left to others when there is no room for it, and asked for again', () => {
    const driver = new Driver({ downloads: 1 });
    driver.add(4);
    for (const piece of [0, 1, 2]) driver.take(piece, 'p');
    driver.said.length = 0;
    driver.take(3, 'p');
    expect(driver.pieces('cancel')).toEqual([3]);
    driver.schedule.downloaded(blob, 0, 'p', 7);
    expect(driver.pieces('want')).toEqual([3]);
  });

  test('a piece that many have is taken from them later, without asking again', () => {
    const driver = new Driver({ downloads: 1 });
    driver.add(4);
    for (const piece of [0, 1, 2, 3]) driver.take(piece, 'p', 'q', 'r', 's');
    driver.said.length = 0;
    driver.actions();
    for (const piece of [0, 1, 2]) driver.schedule.downloaded(blob, piece, 'p', 7);
    expect(driver.actions().at(-1)).toBe('download 3 from p');
    expect(driver.pieces('want')).toEqual([]);
  });

  test('a busy peer is passed over for the next; when all are busy, the piece is given back and rests', () => {
    const driver = new Driver();
    driver.add(1);
    driver.take(0, 'p', 'q');
    driver.said.length = 0;
    driver.schedule.busy(blob, 0, 'p');
    expect(driver.actions()).toEqual(['download 0 from p', 'download 0 from q']);
    driver.schedule.busy(blob, 0, 'q');
    expect(driver.said).toEqual([{ kind: 'cancel', blob, piece: 0 }]);
    driver.said.length = 0;
    expect(driver.schedule.nextDeadline).toBeGreaterThan(0);
    driver.advance(100);
    expect(driver.pieces('want')).toEqual([0]);
  });

  test('a failure is reported, and the peer is left alone for every piece', () => {
    const driver = new Driver();
    driver.add(2);
    driver.take(0, 'bad', 'good');
    driver.said.length = 0;
    driver.failed(0, 'bad', 'corrupt');
    expect(driver.said).toContainEqual({ kind: 'failed', blob, piece: 0, peer: 'bad', failure: 'corrupt' });
    driver.take(1, 'bad', 'good');
    expect(driver.actions()).toEqual(['download 0 from bad', 'download 0 from good', 'download 1 from good']);
  });

  test('a peer that failed is tried again after a while', () => {
    const driver = new Driver();
    driver.add(2);
    driver.take(0, 'p', 'q');
    driver.failed(0, 'p', 'unreachable');
    driver.advance(2_000);
    driver.actions();
    driver.take(1, 'p');
    expect(driver.actions()).toEqual(['download 1 from p']);
  });

  test('a peer that has not got the piece is not blamed for it', () => {
    const driver = new Driver();
    driver.add(2);
    driver.take(0, 'p', 'q');
    driver.failed(0, 'p', 'absent');
    driver.actions();
    driver.take(1, 'p');
    expect(driver.actions()).toEqual(['download 1 from p']);
  });

  test("the reader's next piece is asked of a second peer when the first is slow; the slower is ended", () => {
    const driver = new Driver();
    driver.add(2);
    driver.schedule.readerAt(blob, 0);
    driver.take(0, 'slow', 'fast');
    expect(driver.schedule.nextDeadline).toBe(250);
    driver.actions();
    driver.advance(250);
    expect(driver.actions()).toEqual(['download 0 from fast']);
    driver.schedule.downloaded(blob, 0, 'fast', 7);
    expect(driver.actions()).toEqual(['abort 0 from slow']);
  });

  test('a decision on a piece that is no longer wanted is given back', () => {
    const driver = new Driver();
    driver.add(2);
    driver.schedule.remove(blob);
    driver.said.length = 0;
    driver.lease(0);
    expect(driver.said).toEqual([{ kind: 'cancel', blob, piece: 0 }]);
    expect(driver.actions()).toEqual([]);
  });

  test('a blob that is removed in the middle leaves nothing under way', () => {
    const driver = new Driver();
    driver.add(3);
    driver.take(0, 'p');
    driver.said.length = 0;
    driver.actions();
    driver.schedule.remove(blob);
    expect(sorted(driver.pieces('cancel'))).toEqual([0, 1, 2]);
    expect(driver.actions()).toEqual(['abort 0 from p']);
    expect(driver.schedule.nextDeadline).toBeUndefined();
  });
});

describe('change', () => {
  test('a piece that the cache dropped ahead of the reader is announced as gone and brought back', () => {
    const driver = new Driver();
    driver.add(2);
    driver.take(1, 'p');
    driver.schedule.downloaded(blob, 1, 'p', 7);
    driver.said.length = 0;
    driver.schedule.evicted(blob, 1);
    expect(driver.said).toContainEqual({ kind: 'gone', blob, piece: 1 });
    expect(driver.pieces('want')).toContain(1);
  });

  test('what was asked of a shard that has moved is asked again', () => {
    const driver = new Driver();
    driver.add(4);
    driver.said.length = 0;
    driver.schedule.replaced((_, piece) => piece % 2 === 0);
    expect(sorted(driver.pieces('want'))).toEqual([0, 2]);
  });

  test('every piece arrives in the end, whatever peers and the origin do, within the limits', () => {
    const outcome = fc.constantFrom('ok', 'busy', 'absent', 'unreachable', 'corrupt');
    fc.assert(
      fc.property(
        fc.infiniteStream(outcome),
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 20 }),
        (luck, pieces, window) => {
          const driver = new Driver({ windowBytes: window * pieceBytes });
          const arrived = new Set<number>();
          const running = new Set<string>();
          driver.add(pieces);
          for (let round = 0; round < 20_000 && arrived.size < pieces; round += 1) {
            for (const action of driver.actions()) {
              if (action.startsWith('abort')) running.delete(action.replace('abort', 'download'));
              else running.add(action);
            }
            expect([...running].filter((action) => action.startsWith('fetch')).length).toBeLessThanOrEqual(2);
            expect([...running].filter((action) => action.startsWith('download')).length).toBeLessThanOrEqual(3);
            for (const { piece, lease } of openWants(driver.said.splice(0))) {
              if (lease && piece % 3 === 0) driver.lease(piece);
              else driver.take(piece, 'p', 'q', 'r');
            }
            const [action] = running;
            if (action !== undefined) {
              running.delete(action);
              const [kind, piece = '', , peer = ''] = action.split(' ');
              const result = luck.next().value ?? 'ok';
              if (result === 'ok') arrived.add(Number(piece));
              if (kind === 'fetch' && result === 'ok') driver.schedule.fetched(blob, Number(piece), 7);
              else if (kind === 'fetch') driver.schedule.fetchFailed(blob, Number(piece));
              else if (result === 'ok') driver.schedule.downloaded(blob, Number(piece), peer, 7);
              else if (result === 'busy') driver.schedule.busy(blob, Number(piece), peer);
              else driver.failed(Number(piece), peer, result);
            }
            driver.advance(2_000);
            let reader = 0;
            while (arrived.has(reader)) reader += 1;
            driver.schedule.readerAt(blob, reader);
          }
          expect(arrived.size).toBe(pieces);
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe('readers of parts, and several at once', () => {
  test('have fetched what they will read, and no more until somebody wants it', () => {
    const driver = new Driver();
    driver.schedule.add({ blob, pieces: 10, pieceBytes, source: 'registry.example/app', end: 3 });
    expect(driver.pieces('want').sort()).toEqual([0, 1, 2]);
    driver.schedule.reach(blob, 5);
    expect(driver.pieces('want').sort()).toEqual([3, 4]);
    driver.schedule.reach(blob, 4);
    expect(driver.pieces('want')).toEqual([]);
  });

  test('get a piece that they wait for, wherever it lies', () => {
    const driver = new Driver();
    driver.schedule.add({ blob, pieces: 10, pieceBytes, source: 'registry.example/app', end: 1 });
    driver.said.splice(0);
    driver.schedule.await(blob, 8);
    expect(driver.said).toMatchObject([{ kind: 'want', piece: 8, urgent: true }]);
  });

  test('that begin anew get what was dropped behind the one before', () => {
    const driver = new Driver();
    driver.add(4, [0, 1, 2, 3]);
    driver.schedule.readerAt(blob, 3);
    driver.schedule.evicted(blob, 0);
    driver.schedule.evicted(blob, 1);
    expect(driver.pieces('want')).toEqual([]);
    driver.schedule.readerAt(blob, 0);
    expect(driver.pieces('want').sort()).toEqual([0, 1]);
  });

  test('each have their next piece asked of a second peer when it is slow', () => {
    const driver = new Driver({ downloads: 4 });
    driver.add(10);
    driver.schedule.await(blob, 2);
    driver.schedule.await(blob, 7);
    driver.take(2, 'p', 'q');
    driver.take(7, 'p', 'q');
    expect(driver.actions()).toEqual(['download 2 from p', 'download 7 from p']);
    driver.advance(300);
    expect(driver.actions()).toEqual(['download 2 from q', 'download 7 from q']);
  });
});

describe('what the driver learns', () => {
  test('of the origin decides how many leases are asked for', () => {
    const driver = new Driver({ leases: 1 });
    driver.schedule.leases = 0;
    driver.add(3);
    const leases = () => driver.said.splice(0).flatMap((message) => (message.kind === 'want' ? [message.lease] : []));
    expect(leases()).toEqual([false, false, false]);
    driver.schedule.leases = 2;
    expect(leases()).toEqual([true, true]);
  });

  test('of a piece that came by another way ends what is under way for it, and is told to others', () => {
    const driver = new Driver();
    driver.add(2);
    driver.take(0, 'p');
    driver.said.splice(0);
    driver.schedule.obtained(blob, 0, 9);
    expect(driver.actions()).toContain('abort 0 from p');
    expect(driver.said).toContainEqual({ kind: 'have', blob, piece: 0, crc32c: 9, verified: false });
    driver.schedule.obtained(`sha256:${'c'.repeat(64)}`, 5, 9);
    expect(driver.said.at(-1)).toMatchObject({ kind: 'have', piece: 5 });
  });
});
