import { describe, expect, test } from 'vitest';
import { instancesOf } from '../../../src/config/acr.ts';
import { ConfigError } from '../../../src/config/errors.ts';
import { resolveConfig } from '../../../src/config/load.ts';
import type { Config } from '../../../src/config/schema.ts';

const file = '/etc/shoal/config.yaml';

function configOf(text: string, options: { env?: Record<string, string>; set?: string[] } = {}): Config {
  return resolveConfig({ env: {}, ...options, document: { file, text } }).config;
}

function findingsOf(text: string): string[] {
  try {
    configOf(text);
  } catch (error) {
    if (error instanceof ConfigError) return error.findings.map(({ key, message }) => `${key}: ${message}`);
    throw error;
  }
  return [];
}

describe('the instances', () => {
  const both = ['cri-aaa', 'cri-bbb'];
  test.each([
    ['a text with commas, as in the seeds', configOf('acrInstances: "cri-aaa, cri-bbb"')],
    ['a list', configOf('acrInstances: [cri-aaa, cri-bbb]')],
    ["the on-premises chart's name", configOf('p2p: { registryInstances: "cri-aaa,cri-bbb" }')],
    ['an environment variable', configOf('', { env: { SHOAL_ACR_INSTANCES: 'cri-aaa,cri-bbb' } })],
    ['a flag', configOf('', { set: ['acrInstances=[cri-aaa, cri-bbb]'] })],
  ])('are given as %s', (_how, config) => {
    expect(instancesOf(config)).toEqual(both);
  });

  test('are none by default, and with the empty text of a values file', () => {
    expect(instancesOf(configOf(''))).toEqual([]);
    expect(instancesOf(configOf('acrInstances: ""'))).toEqual([]);
  });

  test('have to be IDs of Enterprise instances', () => {
    expect(findingsOf('acrInstances: "cri-aaa,registry.example.com"').join()).toMatch(/acrInstances.*is no ID/);
  });

  test('stand under one of the two names', () => {
    const text = 'acrInstances: cri-aaa\np2p: { registryInstances: cri-bbb }';
    expect(findingsOf(text)).toEqual([
      'p2p.registryInstances: means the same as acrInstances, which stands there too. Keep one of them',
    ]);
  });
});

describe('the ways of authorization', () => {
  test("take the seeds' empty texts for the default", () => {
    const config = configOf('region: ""\nvpcId: ""\nrrsa: { rrsaRoleARN: "", assumeRoleARN: "" }');
    expect([config.region, config.vpcId, config.rrsa.rrsaRoleARN, config.rrsa.assumeRoleARN]).toEqual(
      Array(4).fill(undefined),
    );
  });

  test.each([
    ['accessKeyFile: /a', 'accessKeySecretFile: is missing'],
    ['accessKeySecretFile: /a', 'accessKeyFile: is missing'],
    ['securityTokenFile: /a', 'securityTokenFile: needs accessKeyFile'],
    ['rrsa: { enable: true, rrsaRoleARN: "acs:ram::1:role/a" }', 'rrsa.rrsaOIDCProviderRoleARN: is missing'],
    ['rrsa: { expireDuration: 3599 }', 'rrsa.expireDuration: 3599 is too small; allowed: an integer from 3600'],
    ['rrsa: { expireDuration: 43201 }', 'rrsa.expireDuration: 43201 is too large'],
    ['rrsa: { rrsaRoleARN: role/a }', 'rrsa.rrsaRoleARN: "role/a" is no ARN'],
    ['region: China', 'region: "China" is no region'],
    ['vpcId: cn-hangzhou', 'vpcId: "cn-hangzhou" is no ID of a VPC'],
    ['acr: { endpoints: { sts: "http://sts.example.com" } }', 'acr.endpoints.sts: "http://sts.example.com" is neither'],
    ['acr: { refreshInterval: 5s }', 'acr.refreshInterval: '],
    ['accessKey: LTAI', 'accessKey: unknown key; did you mean accessKeyFile?'],
  ])('refuse %s', (text, finding) => {
    expect(findingsOf(text).join('\n')).toContain(finding);
  });

  test('refuse two ways at once', () => {
    const arns = 'rrsaRoleARN: "acs:ram::1:role/a", rrsaOIDCProviderRoleARN: "acs:ram::1:oidc-provider/b"';
    const text = `accessKeyFile: /a\naccessKeySecretFile: /b\nrrsa: { enable: true, ${arns} }`;
    expect(findingsOf(text)).toEqual([expect.stringMatching(/^accessKeyFile: contradicts rrsa.enable/)]);
  });
});
