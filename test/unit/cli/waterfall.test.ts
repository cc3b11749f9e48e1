import { beforeEach, describe, expect, test } from 'vitest';
import { formatTable } from '../../../src/cli/format.ts';
import { describePulls } from '../../../src/cli/pulls.ts';
import { describePull, phasesOf } from '../../../src/cli/waterfall.ts';
import { waterfallSvg } from '../../../src/cli/waterfall-svg.ts';
import { PullHistory } from '../../../src/pull/history.ts';
import type { PullDetail } from '../../../src/pull/pull-record.ts';
import { PullError } from '../../../src/pull/types.ts';
import { formatBytes, formatMs, formatShare } from '../../../src/units.ts';

const piece = 256 * 1024;
const base = { digest: `sha256:${'a'.repeat(64)}`, size: 4 * piece };
const top = { digest: `sha256:${'b'.repeat(64)}`, size: 2 * piece };
const present = { digest: `sha256:${'c'.repeat(64)}`, size: piece };

/** A pull of a second: the manifest after 100 ms, one layer from a peer and the registry, one from the disk. */
function pulled(): { readonly history: PullHistory; readonly detail: PullDetail } {
  let now = 0;
  const history = new PullHistory({ blockBytes: piece, now: () => now, wall: () => Date.UTC(2026, 0, 1) });
  const trace = history.opened({
    image: 'reg.test/app:<v1>',
    rule: 'registries.include: *',
    pod: { namespace: 'shop', name: 'cart-0' },
  });
  const at = (ms: number, event: () => void) => {
    now = ms;
    event();
  };
  at(100, () => trace.manifest([present, base, top]));
  at(200, () => trace.requested(base.digest, base.size));
  at(300, () => {
    for (const index of [0, 1])
      trace.piece({ ...base, index, bytes: piece, source: 'peer', from: 'node-2', zone: 'a' });
    trace.delivered(base.digest, 2 * piece);
  });
  at(350, () => trace.failed(new PullError('unavailable', 'the peer hung up')));
  at(400, () => trace.requested(top.digest, top.size));
  at(500, () => {
    for (const index of [2, 3]) trace.piece({ ...base, index, bytes: piece, source: 'origin', from: 'reg.test' });
    trace.delivered(base.digest, 2 * piece);
    for (const index of [0, 1]) trace.piece({ ...top, index, bytes: piece, source: 'disk' });
  });
  at(600, () => trace.delivered(top.digest, top.size));
  at(1000, () => trace.ended({ result: 'ok' }));
  const detail = history.get('1');
  if (detail === undefined) throw new Error('the history has forgotten the pull');
  return { history, detail };
}

let detail: PullDetail;
let history: PullHistory;
beforeEach(() => {
  ({ history, detail } = pulled());
});

describe('shoal pulls explain', () => {
  test('says what the time went into, without a gap', () => {
    expect(phasesOf(detail)).toEqual([
      { name: "the registry's manifest", from: 0, to: 100 },
      { name: 'the first byte of a layer', from: 100, to: 300 },
      { name: 'the layers', from: 300, to: 600 },
      { name: "the runtime's unpacking", from: 600, to: 1000 },
    ]);
  });

  test('names what took the rest where no layer came from here', () => {
    const failed = history.opened({ image: 'reg.test/none:v1', rule: 'r' });
    failed.failed(new PullError('not-found', '404'));
    failed.ended({ result: 'failed', error: 'not found' });
    const had = history.opened({ image: 'reg.test/had:v1', rule: 'r' });
    had.manifest([base]);
    had.ended({ result: 'ok' });
    history.lost({
      pull: { image: 'reg.test/lost:v1', rule: 'r' },
      ...{ began: 0, elapsedMs: 900, outcome: { result: 'ok' }, repeated: false, cause: 'it died' },
    });
    const last = (id: string) => {
      const pull = history.get(id);
      return pull && phasesOf(pull).at(-1)?.name;
    };
    expect(['2', '3', '4'].map(last)).toEqual([
      'the registry, which showed no manifest',
      'the runtime, without a layer from here',
      'not known: the engine that knew is gone',
    ]);
    const lost = history.get('4');
    expect(lost && describePull(lost, 82)).toContain('\nits bytes are not known\n');
  });

  test('shows each layer over time, with a letter for the source', () => {
    const lines = describePull(detail, 82).split('\n');
    expect(lines[0]).toBe('pull 1: reg.test/app:<v1>, for pod shop/cart-0');
    expect(lines).toContain('512.0 KiB from disk, 512.0 KiB from peers, 512.0 KiB from the registry');
    const row = (digest: string) => lines.find((line) => line.startsWith(digest.slice(7, 19))) ?? '';
    expect(row(present.digest)).toContain('(not asked for: the runtime has it)');
    // 54 columns of 18.5 ms: asked for after 200 ms, a peer's bytes at 300, the registry's at 500.
    const layer = row(base.digest).slice(26);
    expect(layer.indexOf('.')).toBe(Math.floor(200 / (1000 / 54)));
    expect(layer).toMatch(/^ +\.+p+-+o+-*$/);
    expect(row(top.digest).slice(26)).toMatch(/^ +\.+d+-+$/);
    expect(lines).toContain('   512.0 KiB  node-2 (peer, zone a)');
    expect(lines).toContain('     350 ms  the peer hung up');
  });

  test('of a pull that has only begun shows what is known', () => {
    const early = new PullHistory({ blockBytes: piece, now: () => 5, wall: () => 0 });
    early.opened({ image: 'i', rule: 'r' });
    const only = early.get('1');
    expect(only && describePull(only, 80)).toContain('no bytes came');
  });

  test('draws the same, and lets nothing of an image name into the markup', () => {
    const svg = waterfallSvg(detail);
    expect(svg).toContain('reg.test/app:&#60;v1&#62;');
    expect(svg).not.toContain('<v1>');
    for (const source of ['peer', 'origin', 'disk']) expect(svg).toMatch(new RegExp(`<rect class="${source}" x=`));
  });
});

test('shoal pulls lists the newest first', () => {
  history.opened({ image: 'reg.test/next:v2', rule: 'r' });
  const [head, first, second] = describePulls(history.list()).split('\n');
  expect(head).toMatch(/^ID +BEGAN \(UTC\) +STATE/);
  expect(first).toMatch(/^2 .*pulling .* reg\.test\/next:v2$/);
  expect(second).toMatch(/^1 .*ok +1\.0 s +300 ms +1\.5 MiB +33 % disk, 33 % peers, 33 % registry/);
});

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1536, '1.5 KiB'],
  [5 * 1024 ** 4, '5.0 TiB'],
])('%i bytes are %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test.each([
  [999, '999 ms'],
  [1000, '1.0 s'],
  [200_000, '3 min 20 s'],
  [7_500_000, '2 h 5 min'],
  [3 * 86_400_000, '3 days'],
])('%i ms are %s', (ms, text) => {
  expect(formatMs(ms)).toBe(text);
});

test('shares are whole, but for the small ones', () => {
  expect([
    formatShare(1, 3),
    formatShare(1, 400),
    formatShare(0, 5),
    formatShare(0, 0),
    formatShare(999, 1000),
    formatShare(2, 2),
  ]).toEqual(['33 %', '0.3 %', '0 %', '0 %', '99.9 %', '100 %']);
});

test('columns stand under each other', () => {
  expect(
    formatTable([
      ['a', 'bb'],
      ['ccc', 'd'],
    ]),
  ).toBe('a    bb\nccc  d');
});
