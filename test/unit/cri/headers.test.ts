import { type IncomingHttpHeaders, sensitiveHeaders } from 'node:http2';
import { describe, expect, test } from 'vitest';
import { forwardedHeaders } from '../../../src/cri/headers.ts';

describe('forwarded headers', () => {
  test('keep every value of a repeated name, in order', () => {
    expect({ ...forwardedHeaders([':path', '/a', 'x', '1', 'y-bin', 'AA', 'x', '2', 'y-bin', 'BB'], {}) }).toEqual({
      ':path': '/a',
      x: ['1', '2'],
      'y-bin': ['AA', 'BB'],
    });
  });

  test('join what Node sends only once, which means the same', () => {
    expect({ ...forwardedHeaders(['authorization', 'a', 'authorization', 'b'], {}) }).toEqual({ authorization: 'a,b' });
  });

  test('keep the mark of those that must not be indexed', () => {
    const headers: IncomingHttpHeaders = {};
    Reflect.set(headers, sensitiveHeaders, ['token']);
    expect(Reflect.get(forwardedHeaders(['token', 't'], headers), sensitiveHeaders)).toEqual(['token']);
  });

  test('may have names of the object prototype', () => {
    expect(Object.keys(forwardedHeaders(['__proto__', 'x', 'constructor', 'y'], {}))).toEqual([
      '__proto__',
      'constructor',
    ]);
  });
});
