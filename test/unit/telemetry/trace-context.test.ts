import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatTraceparent,
  parseTraceparent,
  parseTracestate,
  traceContextOf,
} from '../../../src/telemetry/trace-context.ts';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentId = '00f067aa0ba902b7';
const valid = `00-${traceId}-${parentId}-01`;

describe('traceparent', () => {
  test.each([
    [valid, { traceId, parentId, sampled: true }],
    [`00-${traceId}-${parentId}-00`, { traceId, parentId, sampled: false }],
    // A later version may have more flags, and more behind them.
    [`cc-${traceId}-${parentId}-03-more`, { traceId, parentId, sampled: true }],
    [`cc-${traceId}-${parentId}-01-${'m'.repeat(500)}`, undefined],
    [`00-${traceId}-${parentId}-01-more`, undefined],
    [`${valid}\r\nx-more: 1`, undefined],
    [`ff-${traceId}-${parentId}-01`, undefined],
    [`00-${'0'.repeat(32)}-${parentId}-01`, undefined],
    [`00-${traceId}-${'0'.repeat(16)}-01`, undefined],
    [`00-${traceId.toUpperCase()}-${parentId}-01`, undefined],
    ['', undefined],
  ])('%s', (header, context) => {
    expect(parseTraceparent(header)).toEqual(context);
  });

  const hex = (length: number) =>
    fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`)).filter((id) => !/^0+$/.test(id));

  test('that is written is read as it was', () => {
    fc.assert(
      fc.property(hex(32), hex(16), (trace, span) => {
        const context = { traceId: trace, parentId: span };
        expect(parseTraceparent(formatTraceparent(context))).toEqual({ ...context, sampled: true });
      }),
    );
  });

  test('of whatever comes, also of one that is nearly right, has ids in hex that are never zero', () => {
    const near = fc
      .tuple(fc.nat(valid.length), fc.nat(3), fc.string({ maxLength: 4 }))
      .map(([at, cut, more]) => valid.slice(0, at) + more + valid.slice(at + cut));
    fc.assert(
      fc.property(fc.oneof(fc.string(), near), (header) => {
        const context = parseTraceparent(header);
        if (context === undefined) return;
        expect(context.traceId).toMatch(/^(?!0+$)[0-9a-f]{32}$/);
        expect(context.parentId).toMatch(/^(?!0+$)[0-9a-f]{16}$/);
      }),
    );
  });
});

describe('tracestate', () => {
  test.each([
    ['vendor=opaque', 'vendor=opaque'],
    ['rojo=00f067aa0ba902b7 ,\tcongo=t61rcWkgMzE', 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE'],
    ['a=1,,b=2,', 'a=1,b=2'],
    ['0tenant@system=x y', '0tenant@system=x y'],
    ['', undefined],
    [' , ', undefined],
    ['A=1', undefined],
    ['9a=1', undefined],
    ['a', undefined],
    ['a=', undefined],
    ['a=1,a=2', undefined],
    ['a=1=2', undefined],
    ['a=b\r\nx: y', undefined],
    ['a=ü', undefined],
    [Array.from({ length: 33 }, (_, at) => `k${at}=v`).join(','), undefined],
    [`a=${'v'.repeat(257)}`, undefined],
    ['a=1,'.repeat(3000), undefined],
  ])('%s', (header, state) => {
    expect(parseTracestate(header)).toBe(state);
  });

  test('that is too long loses its long members first, then its last', () => {
    const long = (key: string) => `${key}=${'v'.repeat(200)}`;
    expect(parseTracestate(['a=1', long('b'), 'c=3', long('d'), long('e')].join(','))).toBe(
      ['a=1', long('b'), 'c=3', long('d')].join(','),
    );
    const short = Array.from({ length: 30 }, (_, at) => `key${at}=${'v'.repeat(20)}`);
    expect(parseTracestate(short.join(','))).toBe(short.slice(0, 19).join(','));
  });

  test('of whatever comes is short, fits into a header, and is read the same again', () => {
    const member = fc
      .tuple(fc.stringMatching(/^[a-z][a-z0-9_*/-]{0,20}$/), fc.stringMatching(/^[!-+\--<>-~]{1,200}$/))
      .map(([key, value]) => `${key}=${value}`);
    const list = fc.array(fc.oneof(member, fc.string()), { maxLength: 40 }).map((members) => members.join(','));
    fc.assert(
      fc.property(
        fc.oneof(
          list,
          fc.array(member, { maxLength: 32 }).map((all) => all.join(',')),
        ),
        (header) => {
          const state = parseTracestate(header);
          if (state === undefined) return;
          expect(state.length).toBeLessThanOrEqual(512);
          expect(state).toMatch(/^[\x20-\x7e]+$/);
          expect(parseTracestate(state)).toBe(state);
        },
      ),
    );
  });
});

describe('the headers of a request', () => {
  test('are a context, with the state where that is valid', () => {
    expect(traceContextOf(valid, 'a=1')).toEqual({ traceId, parentId, sampled: true, state: 'a=1' });
    expect(traceContextOf(valid, ['a=1', 'b=2'])).toMatchObject({ state: 'a=1,b=2' });
    expect(traceContextOf(valid, 'A=1')).toEqual({ traceId, parentId, sampled: true });
    expect(traceContextOf(valid, undefined)).toEqual({ traceId, parentId, sampled: true });
  });

  test('are none without a traceparent, or with several', () => {
    expect(traceContextOf(undefined, 'a=1')).toBeUndefined();
    expect(traceContextOf([valid, valid], 'a=1')).toBeUndefined();
    expect(traceContextOf(`${valid}, ${valid}`, 'a=1')).toBeUndefined();
  });
});
