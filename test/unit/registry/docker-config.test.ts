import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseDockerConfig } from '../../../src/registry/logins/docker-config.ts';

const config = (content: object) => parseDockerConfig('config.json', JSON.stringify(content));
const user = (username: string) => ({ username, password: 'p' });

function userFor(auths: Record<string, object>, registry: string, repository = 'a/b'): string | undefined {
  const rule = config({ auths }).ruleFor(registry, repository);
  return rule?.kind === 'static' ? rule.login.username : undefined;
}

describe('the logins of a docker configuration', () => {
  test.each([
    ['registry.example.com', 'registry.example.com', true],
    ['https://registry.example.com', 'registry.example.com', true],
    ['https://registry.example.com/v2/', 'registry.example.com', true],
    ['REGISTRY.example.com:5000', 'registry.example.com:5000', true],
    ['registry.example.com', 'registry.example.com:5000', false],
    ['https://index.docker.io/v1/', 'docker.io', true],
    ['*.example.com', 'registry.example.com', true],
    ['reg*try.example.com', 'registry.example.com', true],
    ['*.example.com', 'a.registry.example.com', false],
    ['*.example.com:5000', 'registry.example.com', false],
    ['127.0.0.1:5000', '127.0.0.1:5000', true],
  ])('by the key %s are for %s: %s', (key, registry, fits) => {
    expect(userFor({ [key]: user('u') }, registry)).toBe(fits ? 'u' : undefined);
  });

  test('for a part of a registry hold for that part alone, and go before those for all of it', () => {
    const auths = { 'r.example.com': user('all'), 'r.example.com/team': user('team'), '*.example.com': user('glob') };
    expect(userFor(auths, 'r.example.com', 'team/app')).toBe('team');
    expect(userFor(auths, 'r.example.com', 'team')).toBe('team');
    expect(userFor(auths, 'r.example.com', 'teams/app')).toBe('all');
    expect(userFor(auths, 's.example.com', 'team/app')).toBe('glob');
  });

  test('are the business of the helper that is named for the registry', () => {
    const { ruleFor } = config({
      auths: { 'r.example.com': user('u'), 's.example.com': {} },
      credHelpers: { 'r.example.com': 'ecr-login' },
      credsStore: 'pass',
    });
    expect(ruleFor('r.example.com', 'a')).toEqual({
      kind: 'helper',
      helper: 'ecr-login',
      serverAddress: 'r.example.com',
    });
    expect(ruleFor('s.example.com', 'a')).toEqual({ kind: 'helper', helper: 'pass', serverAddress: 's.example.com' });
    expect(ruleFor('t.example.com', 'a')).toBeUndefined();
  });

  test.each([
    ['no JSON', '{"auths": ', /config.json is not JSON$/],
    [
      'a password that is none',
      '{"auths": {"a.example": {"password": 5}}}',
      /auths.a.example.password: .*expected string/,
    ],
    ['a helper that is a path', '{"credHelpers": {"a.example": "../../bin/sh"}}', /credHelpers.a.example/],
    ['a key that names nothing', '{"auths": {"a b": {}}}', /the key "a b" names no registry/],
  ])('are refused with %s, without a word of what is in it', (_what, text, message) => {
    expect(() => parseDockerConfig('config.json', text)).toThrow(message);
  });

  test('never throw anything but a readable error, whatever is in the file', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), fc.string(), (text, secret) => {
        try {
          parseDockerConfig('config.json', text).ruleFor('a.example', secret);
        } catch (error) {
          expect(error).toMatchObject({ name: 'RegistryError', kind: 'invalid' });
        }
      }),
    );
  });
});
