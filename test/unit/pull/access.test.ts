import { describe, expect, it } from 'vitest';
import { type AccessSession, decideAccess } from '../../../src/pull/access.ts';
import type { Requester } from '../../../src/pull/types.ts';

const requester = (given: Partial<Requester> = {}): Requester => ({
  registry: 'docker.io',
  repository: 'library/nginx',
  runtime: true,
  accept: [],
  ...given,
});

const session = (username: string, given: Partial<AccessSession> = {}): AccessSession => ({
  credentials: { kind: 'basic', username, password: 'pw' },
  credentialsKey: username,
  fallenBack: false,
  ...given,
});

const basic = (pair: string) => `Basic ${Buffer.from(pair).toString('base64')}`;

describe('a request to the mirror', () => {
  it('of the runtime rides on the only session', () => {
    const only = session('alice');
    expect(decideAccess(requester(), [only])).toEqual({ kind: 'session', session: only });
  });

  it('of any other process never rides on a session', () => {
    expect(decideAccess(requester({ runtime: false }), [session('alice')])).toEqual({
      kind: 'own',
      credentials: { kind: 'anonymous' },
    });
  });

  it('without a session is answered anonymously', () => {
    expect(decideAccess(requester(), [])).toEqual({ kind: 'own', credentials: { kind: 'anonymous' } });
  });

  it('without a session is answered on the Basic credentials that it brings', () => {
    expect(decideAccess(requester({ authorization: basic('bob:p:w') }), [])).toEqual({
      kind: 'own',
      credentials: { kind: 'basic', username: 'bob', password: 'p:w' },
    });
  });

  it.each(['Bearer abc', 'Basic ???', basic('nocolon'), basic(':nouser')])('passes %j on as it is', (authorization) => {
    expect(decideAccess(requester({ authorization }), [])).toEqual({
      kind: 'own',
      credentials: { kind: 'authorization', header: authorization },
    });
  });

  it('must say whose pull it is when two pods with different secrets pull the image', () => {
    expect(decideAccess(requester(), [session('alice'), session('bob')])).toEqual({ kind: 'challenge' });
  });

  it('must say whose pull it is when only one of two pods has a secret', () => {
    const anonymous = session('', { credentials: { kind: 'anonymous' } });
    expect(decideAccess(requester(), [session('alice'), anonymous])).toEqual({ kind: 'challenge' });
  });

  it('that says so gets the session of exactly these credentials', () => {
    const bob = session('bob');
    const answer = decideAccess(requester({ authorization: basic('bob:pw') }), [session('alice'), bob]);
    expect(answer).toEqual({ kind: 'session', session: bob });
  });

  it('that brings credentials of no session is answered on those alone', () => {
    const answer = decideAccess(requester({ authorization: basic('bob:wrong') }), [session('alice'), session('bob')]);
    expect(answer).toEqual({ kind: 'own', credentials: { kind: 'basic', username: 'bob', password: 'wrong' } });
  });

  it('needs no challenge when both pods have the same secret', () => {
    expect(decideAccess(requester(), [session('alice'), session('alice')]).kind).toBe('session');
  });

  it('is sent to the origin once a pull of the image has fallen back', () => {
    const fallen = session('alice', { fallenBack: true });
    expect(decideAccess(requester(), [session('alice'), fallen])).toEqual({ kind: 'stay-out' });
  });
});
