import { beforeEach, describe, expect, test } from 'vitest';
import { Authorizer } from '../../../src/registry/authorizer.ts';
import { parseChallenges } from '../../../src/registry/challenge.ts';
import type { Token, TokenRequest } from '../../../src/registry/token.ts';
import type { Credentials } from '../../../src/registry/types.ts';

const repository = { registry: 'registry.example.com', repository: 'team/app' };
const alice: Credentials = { kind: 'basic', username: 'alice', password: 'a' };
const bob: Credentials = { kind: 'basic', username: 'bob', password: 'b' };
const bearer = 'Bearer realm="https://auth.example.com/"';

/** Token requests wait here until the test answers them. */
let pending: { request: TokenRequest; resolve: (token: Token) => void; reject: (error: Error) => void }[];
let now: number;
let authorizer: Authorizer;

beforeEach(() => {
  pending = [];
  now = 0;
  authorizer = new Authorizer(
    (request) => {
      const { promise, resolve, reject } = Promise.withResolvers<Token>();
      pending.push({ request, resolve, reject });
      return promise;
    },
    () => now,
  );
});

function answer(credentials: Credentials, header: string, options: { refused?: string; signal?: AbortSignal } = {}) {
  const challenges = parseChallenges(header);
  const unauthorized = { challenges, refused: options.refused, request: 'GET x', plainHttp: false };
  return authorizer.answer(repository, credentials, unauthorized, options.signal);
}

describe('what is sent to a registry', () => {
  test('is nothing before it asks, but a token or header that came with the pull', () => {
    expect(authorizer.current(repository, alice)).toBeUndefined();
    expect(authorizer.current(repository, { kind: 'registry-token', token: 't' })).toBe('Bearer t');
    expect(authorizer.current(repository, { kind: 'authorization', header: 'Basic x' })).toBe('Basic x');
  });

  test('is a Bearer token where it takes both, and it is kept per repository and credentials', async () => {
    const granted = answer(alice, `Basic realm="x", ${bearer}`);
    pending[0]?.resolve({ token: 't', lifetimeMs: 1000 });
    await expect(granted).resolves.toBe('Bearer t');
    expect(authorizer.current(repository, { ...alice })).toBe('Bearer t');
    expect(authorizer.current(repository, bob)).toBeUndefined();
    expect(authorizer.current({ ...repository, repository: 'other/app' }, alice)).toBeUndefined();
    expect(authorizer.current({ ...repository, registry: 'other.example.com' }, alice)).toBeUndefined();
    now = 1000;
    expect(authorizer.current(repository, alice)).toBeUndefined();
  });

  test('is forgotten when it was not enough', async () => {
    await answer(alice, 'Basic realm="x"');
    expect(authorizer.current(repository, alice)).toBe('Basic YWxpY2U6YQ==');
    authorizer.forget(repository, alice);
    expect(authorizer.current(repository, alice)).toBeUndefined();
  });
});

describe('concurrent refusals', () => {
  test('share one token request, and whoever gives up leaves it to the others', async () => {
    const abort = new AbortController();
    const first = answer(alice, bearer, { signal: abort.signal });
    const second = answer(alice, bearer);
    abort.abort(new Error('pod deleted'));
    await expect(first).rejects.toThrow('pod deleted');
    expect(pending).toHaveLength(1);
    pending[0]?.resolve({ token: 't', lifetimeMs: 1000 });
    await expect(second).resolves.toBe('Bearer t');
  });

  test("are nobody's failure when everybody gave up before", async () => {
    const signal = AbortSignal.abort(new Error('pod deleted'));
    await expect(answer(alice, bearer, { signal })).rejects.toThrow('pod deleted');
    // An unhandled rejection would fail the run.
    pending[0]?.reject(new Error('away'));
    await new Promise((resolve) => setImmediate(resolve));
  });

  test('share its failure, and the next one tries again', async () => {
    const both = Promise.allSettled([answer(alice, bearer), answer(alice, bearer)]);
    pending[0]?.reject(new Error('away'));
    expect((await both).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    const next = answer(alice, bearer);
    pending[1]?.resolve({ token: 't', lifetimeMs: 1000 });
    await expect(next).resolves.toBe('Bearer t');
  });

  test('of an old token take the new one that another got meanwhile', async () => {
    const granted = answer(alice, bearer, { refused: 'Bearer old' });
    pending[0]?.resolve({ token: 'new', lifetimeMs: 1000 });
    await granted;
    await expect(answer(alice, bearer, { refused: 'Bearer old' })).resolves.toBe('Bearer new');
    expect(pending).toHaveLength(1);
  });

  test('of different users do not share', async () => {
    const both = [answer(alice, bearer), answer(bob, bearer)];
    for (const [user, { resolve }] of pending.entries()) resolve({ token: `t${user}`, lifetimeMs: 1000 });
    await expect(Promise.all(both)).resolves.toEqual(['Bearer t0', 'Bearer t1']);
  });
});

test.each<[Credentials, string, RegExp]>([
  [{ kind: 'anonymous' }, 'Basic realm="x"', /image pull secret missing/],
  [{ kind: 'identity-token', token: 't' }, 'Basic realm="x"', /name and a password only/],
  [{ kind: 'registry-token', token: 't' }, bearer, /refused the token or header/],
  [alice, 'Negotiate', /no kind of authentication that is known/],
  [alice, 'Bearer service="no realm"', /no kind of authentication that is known/],
  [alice, '', /no kind of authentication that is known/],
])('%j has no answer to %j', async (credentials, header, message) => {
  await expect(answer(credentials, header)).rejects.toMatchObject({
    kind: 'unauthorized',
    status: 401,
    message: expect.stringMatching(message),
  });
});

test('a refused password is not sent a second time', async () => {
  const authorization = await answer(alice, 'Basic realm="x"');
  await expect(answer(alice, 'Basic realm="x"', { refused: authorization })).rejects.toMatchObject({
    kind: 'unauthorized',
  });
});
