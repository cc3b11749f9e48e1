import { Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readHandedConfig, serializeConfig } from '../../../src/config/handover.ts';
import { configKeys } from '../../../src/config/keys.ts';
import { resolveConfig } from '../../../src/config/load.ts';
import { printConfig } from '../../../src/config/print.ts';

const file = '/etc/shoal/config.yaml';

describe('the printed configuration', () => {
  test('has every key, each with its origin', () => {
    // Keys without a default are printed when somebody has set them.
    const optional = [
      'host=::',
      'id=node-1',
      'zone=a',
      'membership.kubernetes.kubeconfig=/k',
      'plusMode.cacheHostPath=/m',
    ];
    const files = ['caFile', 'certFile', 'keyFile'].map((key) => `certificates.${key}=/${key}`);
    const cloud = ['region=cn-a', 'vpcId=vpc-1', 'accessKeyFile=/a', 'accessKeySecretFile=/b', 'securityTokenFile=/c'];
    const roles = ['rrsaRoleARN', 'rrsaOIDCProviderRoleARN', 'assumeRoleARN'].map((key) => `rrsa.${key}=acs:ram::1:x`);
    const endpoints = ['openapi', 'sts'].map((key) => `acr.endpoints.${key}=https://a.example`);
    const logins = 'registries.logins.dockerConfigFile=/d';
    const swarm = [...optional, ...files].map((setting) => `p2p.${setting}`);
    const kubernetes = 'kubernetes.kubeconfig=/k';
    const traces = 'telemetry.traces.endpoint=http://collector:4318';
    const set = ['mirror.port=1', traces, ...swarm, ...cloud, ...roles, ...endpoints, logins, kubernetes];
    const text = printConfig(resolveConfig({ env: { SHOAL_LOG_LEVEL: 'warn' }, set }));
    for (const { path } of configKeys) expect(text).toMatch(new RegExp(`^ *${path.at(-1)}: .+ # .+$`, 'm'));
    expect(text).toContain('level: warn # environment variable SHOAL_LOG_LEVEL');
    expect(text).toContain('port: 1 # --set mirror.port');
    expect(text).toContain('stallTimeout: 15 # default');
  });

  test('names the place in the file', () => {
    const text = printConfig(
      resolveConfig({ env: {}, document: { file, text: 'registries:\n  include:\n    - a/*\n' } }),
    );
    expect(text).toContain(`include: [a/*] # ${file}:3:5`);
  });

  test('reads back as the same configuration, whatever the lists and hosts', () => {
    const host = fc.stringMatching(/^[a-z0-9.-]{1,12}(:[0-9]{1,5})?$/);
    fc.assert(
      fc.property(
        fc.array(fc.string()),
        fc.dictionary(host, fc.record({ plainHttp: fc.boolean() })),
        (include, hosts) => {
          const set = [`registries.include=${JSON.stringify(include)}`, `registries.hosts=${JSON.stringify(hosts)}`];
          const loaded = resolveConfig({ env: {}, set });
          expect(resolveConfig({ env: {}, document: { file, text: printConfig(loaded) } }).config).toEqual(
            loaded.config,
          );
        },
      ),
    );
  });
});

describe('the configuration that the supervisor hands to its engine', () => {
  test('arrives as it was', async () => {
    const { config } = resolveConfig({ env: {}, set: ['p2p.v2.cache.mode=memory', 'mirror.port=1'] });
    expect(await readHandedConfig(Readable.from([serializeConfig(config)]))).toEqual(config);
  });

  test('is refused when it is cut short or something else', async () => {
    await expect(readHandedConfig(Readable.from(['{"mirror":']))).rejects.toThrow();
    await expect(readHandedConfig(Readable.from(['{"mirrors": {}}']))).rejects.toThrow();
  });
});
