import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { Api } from '../../../src/acr/api.ts';
import type { Send } from '../../../src/acr/http.ts';
import { ServerTime } from '../../../src/acr/server-time.ts';
import { systemClock } from '../../../src/clock.ts';
import type { HttpRequest } from '../../../src/registry/exchange.ts';
import { connectionFailure } from '../../../src/registry/failure.ts';
import { keptLog } from '../../harness/log-lines.ts';

const { signal } = new AbortController();
const origins = ['https://cr-vpc.cn-hangzhou.aliyuncs.com', 'https://cr.cn-hangzhou.aliyuncs.com'];
const good = { status: 200, body: '{"Name": "x"}', header: () => undefined };

function failure(request: HttpRequest, code: string): Error {
  return connectionFailure(request.url.host, Object.assign(new Error(code), { code }));
}

function api(send: Send) {
  const asked: string[] = [];
  const clock = { ...systemClock, sleep: async () => undefined };
  const made = new Api({
    send: (request) => {
      asked.push(request.url.host.split('.')[0] ?? '');
      return send(request);
    },
    time: new ServerTime(Date.now),
    clock,
    log: keptLog().log,
  });
  const call = {
    origins,
    action: 'GetX',
    version: '1',
    parameters: {},
    key: { id: 'a', secret: 'b' },
    answer: z.object({ Name: z.string() }),
  };
  return { asked, call: () => made.call(call, signal) };
}

describe('the endpoints of an API', () => {
  test('are asked in order, where one cannot be reached; the one that answered comes first from then on', async () => {
    const { asked, call } = api(async (request) => {
      if (request.url.host.startsWith('cr-vpc')) throw failure(request, 'ETIMEDOUT');
      return good;
    });
    await call();
    await call();
    expect(asked).toEqual(['cr-vpc', 'cr', 'cr']);
  });

  test('are not tried in turn when one has answered, whatever it said', async () => {
    const { asked, call } = api(async () => ({ ...good, status: 403, body: '{"Code": "NoPrivilege"}' }));
    await expect(call()).rejects.toMatchObject({ kind: 'denied' });
    expect(asked).toEqual(['cr-vpc']);
  });

  test('that no name server knows are a wrong region, and not asked again', async () => {
    const { asked, call } = api(async (request) => {
      throw failure(request, 'ENOTFOUND');
    });
    await expect(call()).rejects.toMatchObject({
      kind: 'wrong-region',
      message: expect.stringMatching(/no such host: https:\/\/cr-vpc.*; is `region` right/),
    });
    expect(asked).toEqual(['cr-vpc', 'cr']);
  });

  test('that nobody answers at are asked five times in all, then they are unavailable', async () => {
    const { asked, call } = api(async (request) => {
      throw failure(request, 'ECONNREFUSED');
    });
    await expect(call()).rejects.toMatchObject({ kind: 'unavailable' });
    expect(asked).toHaveLength(10);
  });

  test('get a nonce of its own with every try', async () => {
    const nonces = new Set<string | undefined>();
    let tries = 0;
    const { call } = api(async ({ headers }) => {
      nonces.add(headers['x-acs-signature-nonce']);
      tries += 1;
      return tries < 4 ? { ...good, status: 503 } : good;
    });
    await call();
    expect(nonces.size).toBe(4);
  });
});
