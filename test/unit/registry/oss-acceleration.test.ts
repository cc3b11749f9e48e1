import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OssAcceleration } from '../../../src/registry/oss-acceleration.ts';
import { keptLog } from '../../harness/log-lines.ts';

const v1 = '?OSSAccessKeyId=STS.x&Expires=1700000000&Signature=a%2Bb%3D';
const v4 =
  '?x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-credential=k%2F20260101%2Fcn-hangzhou%2Foss&x-oss-signature=ab';
const bucket = 'https://images.oss-cn-hangzhou.aliyuncs.com';

const acceleration = (now = () => 0) => new OssAcceleration(now, keptLog().log);
const by = (url: string) => acceleration().of(new URL(url))?.href;

describe('OSS transfer acceleration', () => {
  test.each([
    ['V1', `${bucket}/docker/blob${v1}`],
    ['V4', `${bucket}/docker/blob${v4}`],
    ['V4 with other headers', `${bucket}/docker/blob${v4}&x-oss-additional-headers=range`],
    [
      'V2 with other headers',
      `${bucket}/b?x-oss-signature-version=OSS2&x-oss-additional-headers=referer&x-oss-signature=a`,
    ],
    ['no signature', `${bucket}/docker/blob`],
  ])('takes what is signed by %s to the bucket everywhere, as it is', (_version, url) => {
    expect(by(url)).toBe(url.replace('oss-cn-hangzhou', 'oss-accelerate'));
  });

  test('takes what is meant for the inside of a region, too', () => {
    expect(by(`https://images.oss-cn-hangzhou-internal.aliyuncs.com/b${v1}`)).toBe(
      `https://images.oss-accelerate.aliyuncs.com/b${v1}`,
    );
  });

  test.each([
    ['V4', `${v4}&x-oss-additional-headers=host`],
    ['V4, among others', `${v4}&x-oss-additional-headers=host%3Brange`],
    ['V2', '?x-oss-signature-version=OSS2&x-oss-additional-headers=Host&x-oss-signature=a'],
    ["S3's form", '?X-Amz-SignedHeaders=host&X-Amz-Signature=ab'],
  ])('leaves alone, and counts, a signature over the host: %s', (_version, query) => {
    const oss = acceleration();
    expect(oss.of(new URL(`${bucket}/blob${query}`))).toBeUndefined();
    expect(oss.counts).toEqual({ accelerated: 0, fellBack: 0, unchanged: { 'signed-host': 1, failing: 0 } });
  });

  test.each([
    'https://registry.example.com/v2/a/blobs/x',
    'https://images.oss-accelerate.aliyuncs.com/b',
    'https://images.oss-accelerate-overseas.aliyuncs.com/b',
    'https://images.oss-cn-hangzhou.aliyuncs.com.evil.example/b',
    'https://oss-cn-hangzhou.aliyuncs.com/images/b',
    'https://images.oss-cn-hangzhou.aliyuncs.com:8443/b',
  ])('has nothing to do with %s', (url) => {
    expect(by(url)).toBeUndefined();
  });

  test('leaves a bucket alone for ten minutes after its acceleration failed', () => {
    let now = 0;
    const oss = acceleration(() => now);
    const url = new URL(`${bucket}/b${v1}`);
    oss.of(url);
    oss.failed(url);
    now = 599_999;
    expect(oss.of(url)).toBeUndefined();
    expect(oss.of(new URL(`https://other.oss-cn-hangzhou.aliyuncs.com/b${v1}`))).toBeDefined();
    now = 600_000;
    expect(oss.of(url)).toBeDefined();
    expect(oss.counts).toEqual({ accelerated: 3, fellBack: 1, unchanged: { 'signed-host': 0, failing: 1 } });
  });

  test('changes the host and nothing else, whatever the object and the query', () => {
    const part = fc.string({ unit: 'grapheme' });
    fc.assert(
      fc.property(part, part, part, (object, name, value) => {
        const url = new URL(`${bucket}/${encodeURIComponent(object)}`);
        url.searchParams.append(`p${name}`, value);
        const accelerated = acceleration().of(url);
        expect(accelerated?.host).toBe('images.oss-accelerate.aliyuncs.com');
        expect(accelerated?.href.slice(accelerated.origin.length)).toBe(url.href.slice(url.origin.length));
      }),
    );
  });
});
