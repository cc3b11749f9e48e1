import { describe, expect, test } from 'vitest';
import type { HttpReader, HttpRequest } from '../../../src/registry/exchange.ts';
import { followRedirects, redirected } from '../../../src/registry/redirect.ts';

const strict = { allowDowngrade: false };
const request: HttpRequest = {
  method: 'GET',
  url: new URL('https://registry.example.com/v2/a/blobs/x'),
  headers: {
    authorization: 'Bearer secret',
    range: 'bytes=0-9',
    'accept-encoding': 'identity',
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    tracestate: 'a=1',
  },
};

describe('a redirect', () => {
  test.each([
    ['to another host', 'https://store.example.com/x?signature=1'],
    ['to another port', 'https://registry.example.com:8443/x'],
    ['to another scheme on loopback', 'http://localhost/x'],
  ])('%s loses Authorization and the trace, and keeps Range', (_, location) => {
    const next = redirected(request, location, strict);
    expect(next.url.href).toBe(location);
    expect(next.headers).toEqual({ range: 'bytes=0-9', 'accept-encoding': 'identity' });
  });

  test('within the origin keeps everything', () => {
    const next = redirected(request, '/elsewhere', strict);
    expect(next.url.href).toBe('https://registry.example.com/elsewhere');
    expect(next.headers).toEqual(request.headers);
  });

  test('that leaves and comes back does not regain Authorization', () => {
    const away = redirected(request, 'https://store.example.com/x', strict);
    const back = redirected(away, request.url.href, strict);
    expect(back.headers).not.toHaveProperty('authorization');
  });

  test('never takes a name and password from its Location', () => {
    expect(redirected(request, 'https://user:pass@store.example.com/x', strict).url.href).toBe(
      'https://store.example.com/x',
    );
  });

  test('from https to http is followed only for content that a digest names', () => {
    const location = 'http://store.example.com/x?signature=secret';
    expect(redirected(request, location, { allowDowngrade: true }).url.href).toBe(location);
    expect(() => redirected(request, location, strict)).toThrow(/from https to http:\/\/store\.example\.com; only/);
  });

  test('is refused to a request whose body holds a secret', () => {
    const post: HttpRequest = { ...request, method: 'POST', body: 'refresh_token=hunter2' };
    expect(() => redirected(post, '/elsewhere', strict)).toThrow(/a redirect of a request with a body/);
  });

  test.each([
    [undefined, /without a usable Location/],
    ['https://[', /without a usable Location/],
    ['file:///etc/passwd', /to file:, which is neither http nor https/],
  ])('to %s is refused', (location, message) => {
    expect(() => redirected(request, location, strict)).toThrow(message);
  });
});

describe('following redirects', () => {
  const reader: HttpReader = { onHeaders: () => 'more', onData: () => 'more' };

  test('ends after five', async () => {
    const asked: string[] = [];
    const send = async (each: HttpRequest, gate: HttpReader) => {
      asked.push(each.url.pathname);
      gate.onHeaders(307, { location: `/hop${asked.length}` });
    };
    await expect(followRedirects(send, request, reader, strict)).rejects.toMatchObject({
      kind: 'invalid',
      message: expect.stringMatching(/more than 5 redirects/),
    });
    expect(asked).toHaveLength(6);
  });

  test('shows the reader the last answer alone, and cuts off a redirect with an endless body', async () => {
    const seen: unknown[] = [];
    const recording: HttpReader = {
      onHeaders: (status) => {
        seen.push(status);
        return 'more';
      },
      onData: (chunk) => {
        seen.push(chunk.toString());
        return 'more';
      },
    };
    let endless: unknown = 'more';
    const send = async (each: HttpRequest, gate: HttpReader) => {
      if (each.url === request.url) {
        gate.onHeaders(302, { location: '/there' });
        for (let sent = 0; sent <= 64; sent += 1) endless = gate.onData(Buffer.alloc(1024));
      } else {
        gate.onHeaders(200, {});
        gate.onData(Buffer.from('content'));
      }
    };
    const last = await followRedirects(send, request, recording, strict);
    expect(seen).toEqual([200, 'content']);
    expect(endless).toBe('enough');
    expect(last.url.pathname).toBe('/there');
  });
});

describe('a detour', () => {
  const store = 'https://bucket.oss-cn-x.aliyuncs.com/blob?Signature=s';
  const faster = new URL('https://bucket.oss-accelerate.aliyuncs.com/blob?Signature=s');

  /** Follows a redirect to the store; `answer` is what the other way does. */
  async function follow(answer: (gate: HttpReader) => void, options: { method?: 'GET' | 'HEAD' } = {}) {
    const asked: string[] = [];
    const failed: string[] = [];
    const seen: string[] = [];
    const send = async (each: HttpRequest, gate: HttpReader) => {
      asked.push(each.url.host);
      if (each.url.host === request.url.host) gate.onHeaders(307, { location: store });
      else if (each.url === faster) answer(gate);
      else {
        gate.onHeaders(206, {});
        gate.onData(Buffer.from('from the bucket'));
      }
    };
    const reader: HttpReader = {
      onHeaders: () => 'more',
      onData: (chunk) => {
        seen.push(chunk.toString());
        return 'more';
      },
    };
    const detour = {
      of: (url: URL) => (url.href === store ? faster : undefined),
      failed: (url: URL) => {
        failed.push(url.href);
      },
    };
    const result = followRedirects(send, { ...request, ...options }, reader, { ...strict, detour });
    const outcome = await result.then(
      ({ url }) => url.host,
      (error: Error) => error.message,
    );
    return { asked, failed, seen, outcome };
  }

  const own = new URL(store).host;

  test('is taken instead of the redirect', async () => {
    const answer = (gate: HttpReader) => {
      gate.onHeaders(206, {});
      gate.onData(Buffer.from('quickly'));
    };
    expect(await follow(answer)).toEqual({
      asked: [request.url.host, faster.host],
      failed: [],
      seen: ['quickly'],
      outcome: faster.host,
    });
  });

  test.each([
    ['is refused', (gate: HttpReader) => void gate.onHeaders(403, {})],
    ['leads on', (gate: HttpReader) => void gate.onHeaders(307, { location: '/elsewhere' })],
    [
      'can not be reached',
      () => {
        throw new Error('ECONNREFUSED');
      },
    ],
  ])('that %s gives way to the redirect', async (_what, answer) => {
    expect(await follow(answer)).toEqual({
      asked: [request.url.host, faster.host, own],
      failed: [store],
      seen: ['from the bucket'],
      outcome: own,
    });
  });

  test('that breaks off in the middle is no reason to begin again: the reader has a part', async () => {
    const answer = (gate: HttpReader) => {
      gate.onHeaders(206, {});
      gate.onData(Buffer.from('a part'));
      throw new Error('cut');
    };
    expect(await follow(answer)).toMatchObject({ failed: [], seen: ['a part'], outcome: 'cut' });
  });

  test('is not for HEAD: presigned requests are for GET', async () => {
    expect((await follow(() => undefined, { method: 'HEAD' })).asked).toEqual([request.url.host, own]);
  });
});
