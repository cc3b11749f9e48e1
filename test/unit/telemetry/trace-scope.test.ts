import { expect, test } from 'vitest';
import { scopeOf } from '../../../src/agent/traces.ts';
import { parseTraceparent } from '../../../src/telemetry/trace-context.ts';
import { TraceScope } from '../../../src/telemetry/trace-scope.ts';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentId = '00f067aa0ba902b7';

test('a scope stands below its caller, and its spans in its trace, each with the same id at every time', () => {
  const scope = new TraceScope({ traceId, parentId, state: 'a=1' });
  expect(scope).toMatchObject({ traceId, parentId, state: 'a=1' });
  expect(scope.child('layer a')).toMatch(/^[0-9a-f]{16}$/);
  expect(scope.headersFor('layer a')).toEqual({
    traceparent: `00-${traceId}-${scope.child('layer a')}-01`,
    tracestate: 'a=1',
  });
  const ids = [
    scope.spanId,
    scope.child('layer a'),
    scope.child('layer b'),
    new TraceScope({ traceId, parentId }).child('layer a'),
  ];
  expect(new Set(ids).size).toBe(4);
});

test('a scope without a caller begins a trace that is valid', () => {
  const { traceparent, tracestate } = new TraceScope().headersFor('manifest');
  expect(parseTraceparent(traceparent)?.sampled).toBe(true);
  expect(tracestate).toBeUndefined();
});

test('more spans than anybody tells apart stand for the scope itself', () => {
  const scope = new TraceScope();
  const ids = Array.from({ length: 2000 }, (_, at) => scope.child(`layer ${at}`));
  expect(new Set(ids).size).toBe(513);
  expect(ids.at(-1)).toBe(scope.spanId);
});

test.each([
  ['of a caller that records it', `00-${traceId}-${parentId}-01`, { traceId, parentId }],
  ['of nobody: a trace of its own', undefined, { parentId: undefined }],
  ['of a caller whose header is none: a trace of its own', 'nonsense', { parentId: undefined }],
])('a pull %s', (_, header, expected) => {
  expect(scopeOf(header, undefined)).toMatchObject(expected);
});

test('a pull of a caller that does not record it is not recorded', () => {
  expect(scopeOf(`00-${traceId}-${parentId}-00`, undefined)).toBeUndefined();
});
