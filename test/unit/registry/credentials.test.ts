import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { credentialsFromAuthConfig, credentialsKey } from '../../../src/registry/credentials.ts';
import type { AuthConfig, Credentials } from '../../../src/registry/types.ts';

const registry = 'registry.example.com';
const base64 = (text: string) => Buffer.from(text).toString('base64');

describe("CRI's AuthConfig", () => {
  test.each<[string, AuthConfig | undefined, Credentials]>([
    ['nothing', undefined, { kind: 'anonymous' }],
    ['empty fields', { username: '', auth: '', identityToken: '' }, { kind: 'anonymous' }],
    ['name and password', { username: 'a', password: 'b' }, { kind: 'basic', username: 'a', password: 'b' }],
    ['a name alone', { username: 'a' }, { kind: 'basic', username: 'a', password: '' }],
    ['base64', { auth: base64('a:b:c') }, { kind: 'basic', username: 'a', password: 'b:c' }],
    ['base64 with padding NULs', { auth: base64('a:b\0\0') }, { kind: 'basic', username: 'a', password: 'b' }],
    ['an identity token', { identityToken: 't' }, { kind: 'identity-token', token: 't' }],
    ['an identity token with a name', { username: 'a', identityToken: 't' }, { kind: 'identity-token', token: 't' }],
    ['a registry token', { registryToken: 't' }, { kind: 'registry-token', token: 't' }],
    [
      'name and password beside all others, as containerd takes it',
      { username: 'a', password: 'b', auth: base64('c:d'), identityToken: 't', registryToken: 'u' },
      { kind: 'basic', username: 'a', password: 'b' },
    ],
    [
      'its own server address',
      { username: 'a', password: 'b', serverAddress: `https://${registry}/v1/` },
      { kind: 'basic', username: 'a', password: 'b' },
    ],
    [
      "another server's address",
      { username: 'a', password: 'b', serverAddress: 'other.example.com' },
      { kind: 'anonymous' },
    ],
  ])('with %s', (_, auth, expected) => {
    expect(credentialsFromAuthConfig(auth, registry)).toEqual(expected);
  });

  test.each([
    [{ auth: '!secret!' }, /auth is not base64/],
    [{ auth: base64('secret') }, /auth, decoded, has no colon/],
    [{ username: 'sec:ret', password: 'x' }, /user name contains a colon/],
    [{ username: 'a', serverAddress: 'sec ret' }, /server_address/],
    [{ identityToken: 'secret'.repeat(20_000) }, /identityToken has more than 65536 characters/],
  ])('that is unusable is refused by the field, without the value', (auth, message) => {
    expect(() => credentialsFromAuthConfig(auth, registry)).toThrow(message);
    expect(() => credentialsFromAuthConfig(auth, registry)).not.toThrow(/secret/);
  });
});

describe('the key of credentials', () => {
  test('is the same for the same and another for others', () => {
    const secret = fc.string({ maxLength: 20 });
    const credentials: fc.Arbitrary<Credentials> = fc.oneof(
      fc.constant({ kind: 'anonymous' } as const),
      fc.record({ kind: fc.constant('basic' as const), username: secret, password: secret }),
      fc.record({ kind: fc.constant('identity-token' as const), token: secret }),
      fc.record({ kind: fc.constant('registry-token' as const), token: secret }),
    );
    fc.assert(
      fc.property(credentials, credentials, (left, right) => {
        const same = JSON.stringify(left) === JSON.stringify(right);
        expect(credentialsKey(left) === credentialsKey(right)).toBe(same);
        expect(credentialsKey({ ...left })).toBe(credentialsKey(left));
      }),
    );
  });

  test('keeps apart what only reads the same when joined', () => {
    const key = (username: string, password: string) => credentialsKey({ kind: 'basic', username, password });
    expect(key('ab', 'c')).not.toBe(key('a', 'bc'));
  });

  test('tells nothing of the secret', () => {
    expect(credentialsKey({ kind: 'registry-token', token: 'hunter2' })).toMatch(/^[\w-]{43}$/);
  });
});
