import { describe, expect, test } from 'vitest';
import { internetHosts, vpcHosts } from '../../../src/acr/endpoints.ts';
import { apiOrigins } from '../../../src/acr/origins.ts';
import { ServerTime } from '../../../src/acr/server-time.ts';

const id = 'cri-test';
const host = 'test-registry-vpc.cn-hangzhou.cr.aliyuncs.com';

describe('the VPC endpoint', () => {
  test('gives its hosts, canonical and once each', () => {
    const answer = {
      Enable: true,
      Domains: [host, host.toUpperCase(), 'own.example.com'],
      LinkedVpcs: [{ VpcId: 'vpc-1' }],
    };
    expect(vpcHosts(id, answer, 'vpc-1')).toEqual({ hosts: ['own.example.com', host], warning: undefined });
  });

  test('of another VPC is used, with a warning that says how to mend it', () => {
    const { hosts, warning } = vpcHosts(id, { Domains: [host], LinkedVpcs: [{ VpcId: 'vpc-2' }] }, 'vpc-1');
    expect(hosts).toEqual([host]);
    expect(warning).toMatch(/cri-test is not linked with vpc-1; link it .* or set vpcId/);
  });

  test('is not checked for its VPC where the own one is not known', () => {
    expect(vpcHosts(id, { Domains: [host] }, undefined).warning).toBeUndefined();
  });

  test.each([
    ['is switched off', { Enable: false, Domains: [host] }],
    ['has no host', { Enable: true, Domains: [] }],
    ['has nothing', {}],
  ])('that %s is an error with the mend', (_what, answer) => {
    expect(() => vpcHosts(id, answer, undefined)).toThrow(/no VPC endpoint; link .*pullImageInternet: true/);
  });

  test.each(['https://host/', 'host/path', 'ho st', ''])('with the host %j is refused', (domain) => {
    expect(() => vpcHosts(id, { Domains: [domain] }, undefined)).toThrow(/cri-test: the endpoint is no host/);
  });
});

describe('the Internet endpoint', () => {
  const endpoint = (Enable: boolean, EndpointType = 'internet') => ({
    EndpointType,
    Enable,
    Domains: [{ Domain: 'a.example.com' }],
  });

  test('gives its hosts', () => {
    const answer = { Endpoints: [endpoint(true), { ...endpoint(true, 'vpc'), Domains: [{ Domain: host }] }] };
    expect(internetHosts(id, answer).hosts).toEqual(['a.example.com']);
  });

  test.each([[{ Endpoints: [endpoint(false)] }], [{ Endpoints: [] }], [{}]])(
    'is an error without one: %j',
    (answer) => {
      expect(() => internetHosts(id, answer)).toThrow(/no Internet endpoint; switch it on/);
    },
  );
});

describe('Alibaba Cloud is asked', () => {
  const region = 'cn-hangzhou';

  test("from within a VPC at the VPC's address first, at the public one where that can't be reached", () => {
    expect(apiOrigins('cr', { region, internet: false, override: undefined })).toEqual([
      'https://cr-vpc.cn-hangzhou.aliyuncs.com',
      'https://cr.cn-hangzhou.aliyuncs.com',
    ]);
  });

  test('from elsewhere at the public address alone', () => {
    const options = { region, internet: true, override: undefined };
    expect(apiOrigins('sts', options)).toEqual(['https://sts.cn-hangzhou.aliyuncs.com']);
  });

  test('where the configuration says, if it does', () => {
    const options = { region, internet: false, override: 'https://cr.private.example/' };
    expect(apiOrigins('cr', options)).toEqual(['https://cr.private.example']);
  });
});

describe("the server's time", () => {
  const at = (seconds: number) => new Date(seconds * 1000).toUTCString();

  test("is this node's until a server shows another one", () => {
    const time = new ServerTime(() => 1_000_000);
    expect(time.now()).toBe(1_000_000);
    expect(time.correct(at(1900))).toBe(true);
    expect(time.now()).toBe(1_900_000);
    expect(time.behindSeconds).toBe(900);
  });

  test('is not corrected by what explains nothing', () => {
    const time = new ServerTime(() => 1_000_000);
    for (const date of [undefined, 'soon', at(1059)]) expect(time.correct(date)).toBe(false);
    expect(time.now()).toBe(1_000_000);
  });

  test('is corrected once: a server that goes on refusing means something else', () => {
    const time = new ServerTime(() => 1_000_000);
    expect(time.correct(at(9000))).toBe(true);
    expect(time.correct(at(9000))).toBe(false);
  });
});
