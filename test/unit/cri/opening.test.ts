import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AuthorityMender } from '../../../src/cri/authority-mender.ts';
import { judgeOpening } from '../../../src/cri/opening.ts';
import { frame, frameFlags, frameTypes, literal, preface } from '../../harness/http2-frames.ts';

const { headers, continuation, settings, ping } = frameTypes;
const { endHeaders } = frameFlags;
const windowUpdate = 0x8;
const ownSettings = frame(settings, 0, 0, Buffer.from([0, 4, 0, 16, 0, 0]));
const acknowledgement = frame(settings, 1, 0, Buffer.alloc(0));
const window = frame(windowUpdate, 0, 0, Buffer.from([0, 1, 0, 0]));

function call(authority: string, stream = 1): Buffer {
  const block = Buffer.concat([literal(4, '/a/b'), literal(1, authority, 'indexed', 'huffman')]);
  const first = frame(headers, 0, stream, block.subarray(0, 3));
  return Buffer.concat([first, frame(continuation, endHeaders, stream, block.subarray(3))]);
}

describe('a client whose authority is valid', () => {
  test('is plain as soon as its first call is whole, less its acknowledgement', () => {
    const before = Buffer.concat([preface, ownSettings]);
    const after = Buffer.concat([window, call('localhost')]);
    const whole = Buffer.concat([before, acknowledgement, after]);
    for (let end = 0; end < whole.length; end += 1) {
      expect(judgeOpening(whole.subarray(0, end))).toEqual({ kind: 'undecided' });
    }
    const more = frame(frameTypes.data, 0, 1, Buffer.from('more'));
    for (const rest of [Buffer.alloc(0), more, more.subarray(0, 5)]) {
      expect(judgeOpening(Buffer.concat([whole, rest]))).toEqual({
        kind: 'plain',
        bytes: Buffer.concat([before, after, rest]),
      });
    }
  });

  test('is left to the mender when it calls before it acknowledges, which takes the acknowledgement out, wherever it is cut', () => {
    const opening = Buffer.concat([preface, ownSettings, call('localhost')]);
    expect(judgeOpening(opening)).toEqual({ kind: 'mend' });
    const rest = Buffer.concat([acknowledgement, call('localhost', 3)]);
    const whole = Buffer.concat([opening, acknowledgement, rest]);
    fc.assert(
      fc.property(fc.array(fc.nat(whole.length), { maxLength: 8 }), (cuts) => {
        const mender = new AuthorityMender({ acknowledgementDue: true });
        const borders = [...cuts, whole.length].sort((a, b) => a - b);
        const out = borders.flatMap((border, at) =>
          mender.push(Buffer.from(whole.subarray(borders[at - 1] ?? 0, border))),
        );
        // The first alone: the second answers the session's own SETTINGS.
        expect(Buffer.concat(out)).toEqual(Buffer.concat([opening, rest]));
      }),
    );
  });
});

describe('left to the mender is', () => {
  const begin = Buffer.concat([preface, ownSettings, acknowledgement]);
  test.each([
    ['a path as the authority', Buffer.concat([begin, call('/run/shoal/shoal.sock')])],
    ['a PING before the first call', Buffer.concat([begin, frame(ping, 0, 0, Buffer.alloc(8))])],
    ['what is no HTTP/2', Buffer.from('GET /')],
    ['a beginning beyond every length', Buffer.concat([begin, ...Array.from({ length: 2000 }, () => window)])],
  ])('%s', (_what, bytes) => expect(judgeOpening(bytes)).toEqual({ kind: 'mend' }));

  test('whatever bytes follow the preface, in some way: none is thrown at', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const whole = Buffer.concat([preface, bytes]);
        const before = Buffer.from(whole);
        expect(['undecided', 'mend', 'plain']).toContain(judgeOpening(whole).kind);
        expect(whole).toEqual(before);
      }),
    );
  });
});
