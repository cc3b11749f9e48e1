import { beforeEach, describe, expect, test } from 'vitest';
import { PullHistory } from '../../../src/pull/history.ts';
import type { ByteSource, PullTrace } from '../../../src/pull/observer.ts';
import { ruleKind } from '../../../src/pull/rule-kind.ts';
import { PullError } from '../../../src/pull/types.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const piece = 256 * KiB;
const began = Date.UTC(2026, 0, 2, 3, 4, 5);

let now: number;
let history: PullHistory;
beforeEach(() => {
  now = 1000;
  history = new PullHistory({ blockBytes: piece, now: () => now, wall: () => began });
});

const layer = { digest: 'sha256:a', size: 4 * piece };

function open(rule = 'registries.include: *'): PullTrace {
  const trace = history.opened({ image: 'reg.test/app:v1', rule, pod: { namespace: 'shop', name: 'cart-0' } });
  trace.manifest([layer]);
  return trace;
}

function bring(trace: PullTrace, index: number, source: ByteSource, from?: string, zone?: string): void {
  const sender = { ...(from !== undefined && { from }), ...(zone !== undefined && { zone }) };
  trace.piece({ digest: layer.digest, index, bytes: piece, source, ...sender });
}

describe('a pull', () => {
  test('is told with its times, its bytes by source and who sent them', () => {
    const trace = open();
    now += 20;
    trace.requested(layer.digest, layer.size);
    now += 10;
    bring(trace, 0, 'peer', 'node-2', 'a');
    trace.delivered(layer.digest, piece);
    bring(trace, 1, 'peer', 'node-2', 'a');
    now += 5;
    bring(trace, 2, 'origin', 'reg.test');
    bring(trace, 3, 'memory');
    trace.delivered(layer.digest, 3 * piece);
    now += 100;
    trace.ended({ result: 'ok' });
    now += 1000;
    expect(history.get('1')).toMatchObject({
      id: '1',
      image: 'reg.test/app:v1',
      pod: { namespace: 'shop', name: 'cart-0' },
      began: '2026-01-02T03:04:05.000Z',
      state: 'ok',
      elapsedMs: 135,
      manifestMs: 0,
      firstByteMs: 30,
      layerBytes: layer.size,
      delivered: layer.size,
      peers: 1,
      bytes: { memory: piece, disk: 0, peer: 2 * piece, mirror: 0, origin: piece },
      senders: [
        { id: 'node-2', source: 'peer', zone: 'a', bytes: 2 * piece },
        { id: 'reg.test', source: 'origin', bytes: piece },
      ],
      layers: [
        {
          digest: layer.digest,
          pieces: 4,
          requestedMs: 20,
          firstPieceMs: 30,
          lastPieceMs: 35,
          firstDeliveredMs: 30,
          lastDeliveredMs: 35,
          map: 'PPOM',
        },
      ],
    });
  });

  test('keeps the last causes, and the answer of the runtime', () => {
    const trace = open();
    for (let at = 1; at <= 20; at += 1) trace.failed(new PullError('unavailable', `attempt ${at}`));
    trace.fellBack();
    trace.ended({ result: 'failed', error: 'the runtime says no' });
    const detail = history.get('1');
    expect(detail).toMatchObject({ state: 'failed', fellBack: true, cause: 'the runtime says no' });
    expect(detail?.causes.map(({ text }) => text)).toEqual([
      ...Array.from({ length: 7 }, (_, at) => `attempt ${at + 14}`),
      'the runtime says no',
    ]);
    expect(history.totals().fallBacks).toEqual({ unavailable: 1 });
  });

  test('of a huge blob has a map of 128 characters, capital where a share is whole', () => {
    const blob = { digest: 'sha256:b', size: 1000 * 4 * MiB };
    const trace = history.opened({ image: 'reg.test/app:v1', rule: 'r' });
    trace.manifest([blob]);
    for (let index = 0; index < 8; index += 1) {
      trace.piece({ digest: blob.digest, index, bytes: 4 * MiB, source: 'mirror', from: 'm' });
    }
    trace.piece({ digest: blob.digest, index: 999, bytes: 4 * MiB, source: 'disk' });
    const map = history.get('1')?.layers[0]?.map ?? '';
    expect(map).toHaveLength(128);
    expect(map.startsWith('X.')).toBe(true);
    expect(map.endsWith('.d')).toBe(true);
  });

  test('of very many layers keeps as many as an image can have', () => {
    const trace = history.opened({ image: 'reg.test/app:v1', rule: 'r' });
    trace.manifest(Array.from({ length: 1000 }, (_, at) => ({ digest: `sha256:${at}`, size: 1 })));
    expect(history.get('1')?.layers).toHaveLength(128);
    expect(history.get('1')).toMatchObject({ layersLeftOut: 872, layerBytes: 1000 });
  });
});

describe('the history', () => {
  test('lists the newest first, those under way included, and forgets the oldest', () => {
    const running = open();
    for (let count = 0; count < 250; count += 1) open().ended({ result: 'ok' });
    const list = history.list();
    expect(list).toHaveLength(201);
    expect(list[0]).toMatchObject({ id: '251', state: 'ok' });
    expect(list.at(-1)).toMatchObject({ id: '1', state: 'pulling' });
    expect(history.get('2')).toBeUndefined();
    running.ended({ result: 'cancelled' });
    expect(history.totals().active).toBe(0);
  });

  test('is bounded by its layers, too', () => {
    const layers = Array.from({ length: 127 }, (_, at) => ({ digest: `sha256:${at}`, size: 1 }));
    for (let count = 0; count < 100; count += 1) {
      const trace = history.opened({ image: 'reg.test/app:v1', rule: 'r' });
      trace.manifest(layers);
      trace.ended({ result: 'ok' });
    }
    expect(history.list()).toHaveLength(32);
  });

  test('sums up every byte, with a pull or without', () => {
    const trace = open();
    bring(trace, 0, 'peer', 'node-2', 'a');
    bring(trace, 1, 'mirror', 'mirror-1', 'b');
    bring(history.direct, 2, 'peer', 'node-3');
    history.direct.delivered(layer.digest, piece);
    trace.ended({ result: 'ok' });
    expect(history.totals()).toMatchObject({
      bytes: { peer: 2 * piece, mirror: piece, origin: 0 },
      zones: [
        { zone: 'a', peer: piece, mirror: 0 },
        { zone: 'b', peer: 0, mirror: piece },
        { zone: '', peer: piece, mirror: 0 },
      ],
      delivered: piece,
    });
    expect(history.senders()).toHaveLength(3);
  });

  test('has few labels, whatever comes', () => {
    for (let at = 0; at < 1000; at += 1) {
      open(`rule ${at}: x`).ended({ result: 'ok' });
      bring(history.direct, 0, 'peer', `node-${at}`, `zone-${at}`);
    }
    const { ended, zones } = history.totals();
    expect(zones).toHaveLength(65);
    expect(zones.find(({ zone }) => zone === 'other')?.peer).toBe((1000 - 64) * piece);
    expect(new Set(ended.map(({ rule }) => rule)).size).toBe(17);
    expect(ended.find(({ rule, result }) => rule === 'other' && result === 'ok')?.count).toBe(1000 - 16);
  });

  test('counts a pull once, though its end is told twice', () => {
    const trace = open();
    trace.ended({ result: 'failed', error: '' });
    trace.ended({ result: 'cancelled' });
    expect(history.totals().ended.filter(({ count }) => count > 0)).toEqual([
      { rule: 'registries.include', result: 'failed', count: 1 },
    ]);
  });
});

test('the kind of a rule has no patterns of users in it', () => {
  expect(ruleKind('registries.include: *.example.com/team')).toBe('registries.include');
  expect(ruleKind('no pattern of registries.include matches')).toBe('no pattern of registries.include matches');
});

test('a pull of an engine that died is told among the others, and counted by nobody twice', () => {
  history.lost({
    pull: { image: 'reg.test/app:v1', rule: 'registries.include: *' },
    ...{ began: began - 9_000, elapsedMs: 8_100, outcome: { result: 'ok' }, repeated: true, cause: 'it went away' },
  });
  open().ended({ result: 'ok' });
  expect(history.list()).toMatchObject([
    { id: '2', fellBack: false },
    {
      ...{ id: '1', state: 'ok', elapsedMs: 8_100, fellBack: true, cause: 'it went away' },
      began: '2026-01-02T03:03:56.000Z',
    },
  ]);
  // The supervisor, which lives on, has this one as `engine_away`.
  expect(history.totals().fallBacks).toEqual({});
  expect(history.totals().active).toBe(0);
});
