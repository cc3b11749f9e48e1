import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalQuery, signedHeaders } from '../../../src/acr/signature.ts';
import { readSignature } from '../../harness/alibaba-cloud/signature.ts';

const stamp = { date: '2023-10-26T10:22:32Z', nonce: '3156853299f313e23d1673dc12e1703d' };
const key = { id: 'YourAccessKeyId', secret: 'YourAccessKeySecret' };

describe('signature V3', () => {
  test("is that of Alibaba Cloud's own example", () => {
    const url = new URL('https://ecs.cn-shanghai.aliyuncs.com/');
    url.search = canonicalQuery({
      RegionId: 'cn-shanghai',
      ImageId: 'win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd',
    });
    const request = { method: 'POST' as const, url, action: 'RunInstances', version: '2014-05-26', body: '' };
    const signed = 'host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version';
    const signature = '06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0';
    expect(signedHeaders(request, key, stamp).authorization).toBe(
      `ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=${signed},Signature=${signature}`,
    );
  });

  const text = fc.string({ unit: 'grapheme', maxLength: 30 });
  const token = fc.option(fc.stringMatching(/^[A-Za-z0-9+/=]{1,40}$/), { nil: undefined });

  test('is understood by whoever checks it, whatever the parameters, the body and the token', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.stringMatching(/^[A-Za-z.0-9]{1,10}$/), text),
        text,
        token,
        (parameters, body, securityToken) => {
          const url = new URL('https://cr.cn-hangzhou.aliyuncs.com/');
          url.search = canonicalQuery(parameters);
          const request = { method: 'POST' as const, url, action: 'GetX', version: '2018-12-01', body };
          const headers = signedHeaders(request, { ...key, securityToken }, stamp);
          const wire = { method: 'POST', target: `/${url.search}`, headers: Object.entries(headers), body };
          const signature = readSignature(wire);
          expect(signature?.matches(key.secret)).toBe(true);
          expect(signature?.token).toBe(securityToken);
          expect(signature?.matches('another secret')).toBe(false);
          expect(readSignature({ ...wire, target: '/?InstanceId=cri-other' })?.matches(key.secret)).toBe(
            url.search === '?InstanceId=cri-other',
          );
        },
      ),
    );
  });

  test('covers the body and its type', () => {
    const url = new URL('https://sts.aliyuncs.com/');
    const request = { method: 'POST' as const, url, action: 'A', version: '1', body: 'a=b', contentType: 'text/plain' };
    const headers = signedHeaders(request, key, stamp);
    const wire = { method: 'POST', target: '/', headers: Object.entries(headers), body: 'a=b' };
    expect(headers.authorization).toContain('SignedHeaders=content-type;host;');
    expect(readSignature(wire)?.matches(key.secret)).toBe(true);
    expect(readSignature({ ...wire, body: 'a=c' })?.matches(key.secret)).toBe(false);
  });
});

test('a query is encoded as RFC 3986 has it, and sorted', () => {
  expect(canonicalQuery({ b: "a b*c~(d)!'", a: '/+=&ü' })).toBe('a=%2F%2B%3D%26%C3%BC&b=a%20b%2Ac~%28d%29%21%27');
});
