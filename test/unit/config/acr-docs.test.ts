import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { configKeys } from '../../../src/config/keys.ts';
import { resolveConfig } from '../../../src/config/load.ts';

const root = path.resolve(import.meta.dirname, '../../..');
const text = readFileSync(path.join(root, 'docs/acr.md'), 'utf8');
const table = text.slice(text.indexOf('## Every parameter'));

interface Row {
  readonly name: string;
  readonly fallback: string;
  readonly tests: readonly string[];
}

const rows: readonly Row[] = table
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => {
    const [, name = '', fallback = '', , , tests = ''] = line.split(/(?<!\\) *\| */);
    return {
      name: name.replaceAll('`', ''),
      fallback,
      tests: [...tests.matchAll(/`([^`]+)`/g)].map(([, file]) => file ?? ''),
    };
  });

/** Every parameter that the documents of ACR's two charts name. */
const parameters = [
  ...['acrInstances', 'region', 'vpcId', 'pullImageInternet', 'accessKey', 'accessKeySecret', 'p2p.port'],
  ...['enable', 'rrsaRoleARN', 'rrsaOIDCProviderRoleARN', 'assumeRoleARN', 'expireDuration'].map(
    (key) => `rrsa.${key}`,
  ),
  ...['p2p.registryInstances', 'p2p.v2.cache.mode'],
  ...['blocksize', 'capacity', 'optionBlockSize', 'memoryCacheCapacityGB', 'aio', 'proxyFsParallels'],
  ...['connectTimeout', 'transferTimeout'],
  ...['enable', 'cacheTTL', 'cacheHostPath', 'ossInternetAccelerate', 'downloadPattern', 'nodeSelectorEnable'].map(
    (key) => `p2p.plusMode.${key}`,
  ),
];

describe("docs/acr.md's table of parameters", () => {
  test('has every parameter of the documents once, and no other', () => {
    expect(rows.map(({ name }) => name).toSorted()).toEqual(parameters.toSorted());
  });

  test.each(rows)('names tests of $name that are there', ({ tests }) => {
    expect(tests.length).toBeGreaterThan(0);
    for (const file of tests) expect(existsSync(path.join(root, 'test', file)), file).toBe(true);
  });

  const defaults = resolveConfig({ env: {} }).config;
  const places = ['', 'p2p.', 'p2p.v2.cache.'];
  const keys = rows.flatMap((row) => {
    const key = configKeys.find(({ name }) => places.some((place) => name === `${place}${row.name}`));
    return key === undefined ? [] : [{ ...row, path: key.path, written: key.default }];
  });

  test('tells the defaults that the configuration has', () => {
    expect(keys.length).toBeGreaterThan(15);
    for (const { name, fallback, path: at, written } of keys) {
      const value = written ?? at.reduce<unknown>((node, key) => (node as Record<string, unknown>)[key], defaults);
      const shown = value === undefined ? /^(none|the node's)$/ : /^`([^`]*)`/;
      expect(fallback, name).toMatch(shown);
      if (value !== undefined) {
        const told = shown.exec(fallback)?.[1];
        expect(told, name).toBe(typeof value === 'string' ? value : JSON.stringify(value));
      }
    }
  });
});
