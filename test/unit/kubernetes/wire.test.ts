import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { statusError } from '../../../src/kubernetes/failure.ts';
import { KubernetesError } from '../../../src/kubernetes/types.ts';
import { parsePage, parseWatchEvent } from '../../../src/kubernetes/wire.ts';

const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const item = { metadata: { name: 'a', namespace: 'shoal', resourceVersion: '3' }, endpoints: [] };

describe('a page of a list', () => {
  test('gives its objects, its version and the token of the next page', () => {
    const page = parsePage('list', json({ metadata: { resourceVersion: '7', continue: 'more' }, items: [item] }));
    expect(page).toEqual({
      objects: [{ namespace: 'shoal', name: 'a', resourceVersion: '3', content: item }],
      resourceVersion: '7',
      continueToken: 'more',
    });
  });

  test('is the last one without a token, and empty with null items, as Go servers write them', () => {
    const page = parsePage('list', json({ metadata: { resourceVersion: '7', continue: '' }, items: null }));
    expect(page).toEqual({ objects: [], resourceVersion: '7', continueToken: undefined });
  });

  test.each([
    [{ items: [] }, /not a Kubernetes list/],
    [{ metadata: { resourceVersion: '' }, items: [] }, /not a Kubernetes list/],
    [{ metadata: { resourceVersion: 7 }, items: [] }, /not a Kubernetes list/],
    [{ metadata: { resourceVersion: '7' }, items: {} }, /not a Kubernetes list/],
    [{ metadata: { resourceVersion: '7' }, items: [null] }, /without metadata/],
    [{ metadata: { resourceVersion: '7' }, items: [{ metadata: { name: 'a' } }] }, /without metadata/],
    [[], /not a JSON object/],
  ])('%j is refused', (value, words) => {
    expect(() => parsePage('list', json(value))).toThrow(words);
  });
});

describe('an event of a watch', () => {
  test('is an object that was added, modified or deleted, or a bookmark', () => {
    const read = (type: string, object: unknown) => parseWatchEvent('watch', JSON.stringify({ type, object }));
    for (const type of ['ADDED', 'MODIFIED', 'DELETED']) {
      expect(read(type, item)).toMatchObject({ type, object: { name: 'a', resourceVersion: '3' } });
    }
    expect(read('BOOKMARK', { metadata: { resourceVersion: '9' } })).toEqual({
      type: 'BOOKMARK',
      resourceVersion: '9',
    });
  });

  test.each([
    [410, 'gone'],
    [500, 'unavailable'],
    [403, 'forbidden'],
  ])('of type ERROR with code %d is a failure of kind %s', (code, kind) => {
    const line = JSON.stringify({ type: 'ERROR', object: { kind: 'Status', code, message: 'because' } });
    expect(() => parseWatchEvent('watch', line)).toThrow(expect.objectContaining({ kind }));
    expect(() => parseWatchEvent('watch', line)).toThrow(/because/);
  });

  test('that is anything else is refused, and nothing but a KubernetesError is ever thrown', () => {
    const line = fc.oneof(
      fc.string(),
      fc.json(),
      fc.record({ type: fc.string(), object: fc.jsonValue() }).map((value) => JSON.stringify(value)),
    );
    fc.assert(
      fc.property(line, (text) => {
        expect(() => parseWatchEvent('watch', text)).toThrow(KubernetesError);
      }),
    );
  });
});

describe('a refusal', () => {
  const refusal = (status: number, retryAfter?: string) =>
    statusError('list nodes', { status, body: { message: 'line\u001b[31m\nbreak' }, retryAfter });

  test('says what was asked, what came, and what mends it, on one line that is safe to print', () => {
    expect(refusal(403).message).toBe('list nodes: 403 line?[31m?break; grant it by RBAC (docs/membership.md)');
  });

  test.each([
    [400, 'invalid'],
    [401, 'unauthorized'],
    [404, 'not-found'],
    [408, 'unavailable'],
    [410, 'gone'],
    [429, 'rate-limited'],
    [503, 'unavailable'],
    [302, 'invalid'],
  ])('with status %d is of kind %s', (status, kind) => {
    expect(refusal(status).kind).toBe(kind);
  });

  test('tells for how long the server wants to be left alone', () => {
    expect(refusal(429, '3').retryAfterMs).toBe(3000);
    expect(refusal(429, 'soon').retryAfterMs).toBeUndefined();
  });
});
