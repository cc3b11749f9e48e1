import { describe, expect, test } from 'vitest';
import { parseChallenges } from '../../../src/registry/challenge.ts';
import { createTokenRequest, parseTokenAnswer } from '../../../src/registry/token.ts';
import { type Credentials, RegistryError } from '../../../src/registry/types.ts';

const repository = { registry: 'registry.example.com', repository: 'team/app' };
const basic: Credentials = { kind: 'basic', username: 'alice', password: 'hunter2' };
const identity: Credentials = { kind: 'identity-token', token: 'hunter2' };
const anonymous: Credentials = { kind: 'anonymous' };

function requestFor(header: string, credentials: Credentials, plainHttp = false) {
  const [challenge] = parseChallenges(header);
  if (challenge === undefined) throw new Error('the test has no challenge');
  return createTokenRequest({ challenge, repository, credentials, plainHttp });
}

describe('a token request', () => {
  const header = 'Bearer realm="https://auth.example.com/token?x=1",service="s v",scope="repository:team/app:pull"';

  test('with a name and a password is a GET with Basic', () => {
    const { method, url, headers } = requestFor(header, basic);
    expect(method).toBe('GET');
    expect(url.href).toBe('https://auth.example.com/token?x=1&service=s+v&scope=repository%3Ateam%2Fapp%3Apull');
    expect(headers.authorization).toBe(`Basic ${Buffer.from('alice:hunter2').toString('base64')}`);
  });

  test('of nobody carries no Authorization', () => {
    expect(requestFor(header, anonymous).headers).not.toHaveProperty('authorization');
  });

  test('with an identity token is a POST whose URL has no secret', () => {
    const { method, url, headers, body } = requestFor(header, identity);
    expect(method).toBe('POST');
    expect(url.href).toBe('https://auth.example.com/token?x=1');
    expect(headers).not.toHaveProperty('authorization');
    expect(Object.fromEntries(new URLSearchParams(body))).toEqual({
      service: 's v',
      grant_type: 'refresh_token',
      client_id: 'shoal',
      scope: 'repository:team/app:pull',
      refresh_token: 'hunter2',
    });
  });

  test("asks for pulling this repository, and for the registry's own scopes besides", () => {
    const scopes = (scope: string) =>
      requestFor(`Bearer realm="https://a/",scope="${scope}"`, anonymous).url.searchParams.getAll('scope');
    expect(scopes('')).toEqual(['repository:team/app:pull']);
    expect(scopes('repository:renamed:pull  registry:x:*')).toEqual([
      'repository:team/app:pull',
      'repository:renamed:pull',
      'registry:x:*',
    ]);
    expect(scopes('a '.repeat(5) + Array.from({ length: 100 }, (_, i) => `s${i}`).join(' '))).toHaveLength(16);
  });

  test.each([
    ['ftp://auth.example.com/', anonymous],
    ['not a URL', anonymous],
    ['', basic],
  ])('to the realm %j is refused', (realm, credentials) => {
    expect(() => requestFor(`Bearer realm="${realm}"`, credentials)).toThrow(/realm is not an http or https URL/);
  });

  test.each([
    ['http://auth.example.com/', false, [basic, identity], false],
    ['http://registry.example.com/', false, [basic, identity], false],
    ['http://auth.example.com/', false, [anonymous], true],
    ['http://127.0.0.1:5001/', false, [basic, identity], true],
    ['http://auth.example.com/', true, [basic, identity], true],
    ['https://auth.example.com/', false, [basic, identity], true],
  ] as const)('to %s of a registry that is plain http: %s, with %j, is made: %s', (realm, plainHttp, all, made) => {
    for (const credentials of all) {
      const request = () => requestFor(`Bearer realm="${realm}"`, credentials, plainHttp);
      if (made) expect(request().url.href).toMatch(realm);
      else expect(request).toThrow(/credentials are not sent there/);
    }
  });

  test('takes no name and password from the realm', () => {
    expect(requestFor('Bearer realm="https://user:pass@a.example.com/"', anonymous).url.username).toBe('');
  });
});

describe("a token server's answer", () => {
  const parse = (answer: unknown) => parseTokenAnswer('GET x', Buffer.from(JSON.stringify(answer)));

  test.each([
    [
      { token: 't', expires_in: 300 },
      { token: 't', lifetimeMs: 290_000 },
    ],
    [{ access_token: 't' }, { token: 't', lifetimeMs: 50_000 }],
    [
      { token: 't', access_token: 'u', issued_at: 'x' },
      { token: 't', lifetimeMs: 50_000 },
    ],
    [
      { token: 't', expires_in: 5 },
      { token: 't', lifetimeMs: 0 },
    ],
    [
      { token: 't', expires_in: -1 },
      { token: 't', lifetimeMs: 0 },
    ],
    [
      { token: 't', expires_in: 1e12 },
      { token: 't', lifetimeMs: 86_390_000 },
    ],
  ])('%j is %j', (answer, token) => {
    expect(parse(answer)).toEqual(token);
  });

  test.each([[{}], [{ token: '' }], [{ token: 7 }], [{ token: 't', expires_in: 'soon' }], [[]], [{ token: 'a\nb' }]])(
    '%j is refused',
    (answer) => {
      expect(() => parse(answer)).toThrow(RegistryError);
    },
  );
});
