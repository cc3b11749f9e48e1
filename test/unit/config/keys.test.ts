import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { configKeys } from '../../../src/config/keys.ts';
import { editDistance, nearest } from '../../../src/config/nearest.ts';
import { reservedVariables } from '../../../src/config/settings.ts';
import { packageRoot } from '../../../src/paths.ts';

describe('keys', () => {
  test('each has a description, and a variable that no other key and nothing else has', () => {
    for (const key of configKeys) expect(key.description, key.name).not.toBe('');
    const variables = configKeys.map(({ variable }) => variable);
    expect(new Set(variables).size).toBe(variables.length);
    expect(variables.filter((variable) => reservedVariables.has(variable))).toEqual([]);
  });

  test('variables are the path in capitals, words apart', () => {
    const variableOf = (name: string): string | undefined => configKeys.find((key) => key.name === name)?.variable;
    expect(variableOf('mirror.port')).toBe('SHOAL_MIRROR_PORT');
    expect(variableOf('p2p.v2.cache.memoryCacheCapacityGB')).toBe('SHOAL_P2P_V2_CACHE_MEMORY_CACHE_CAPACITY_GB');
    expect(variableOf('p2p.proxyFsParallels')).toBe('SHOAL_P2P_PROXY_FS_PARALLELS');
  });

  test('none holds a secret: the configuration is printed, logged and handed on', () => {
    const secretive = /(password|secret|token|credential|accessKey)$/i;
    expect(configKeys.filter(({ name }) => secretive.test(name))).toEqual([]);
  });

  test("docs/configuration.md's table says what the schema says", async () => {
    const document = await readFile(path.join(packageRoot, 'docs/configuration.md'), 'utf8');
    const rows = document.split('\n').filter((line) => line.startsWith('| `'));
    const expected = configKeys.map(({ name, variable, allowed, default: value, description }) => {
      const absent = name.startsWith('p2p.v2.cache.') ? 'by mode' : '–';
      const shown = value === undefined ? absent : `\`${JSON.stringify(value).replaceAll('"', '')}\``;
      return `| \`${name}\` | \`${variable}\` | ${shown} | ${allowed} | ${description} |`;
    });
    expect(rows).toEqual(expected);
  });
});

describe('the nearest word', () => {
  test.each([
    ['prot', 'port', 1],
    ['', 'abc', 3],
    ['kitten', 'sitting', 3],
    ['abc', 'abc', 0],
  ])('%s and %s are %d edits apart', (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance);
    expect(editDistance(b, a)).toBe(distance);
  });

  test('is none when a third would have to change, and the nearest of several else', () => {
    expect(nearest('xyz', ['port', 'mirror'])).toBeUndefined();
    expect(nearest('mirrors', ['error', 'mirror'])).toBe('mirror');
    expect(nearest('STALL-timeout', ['stallTimeout', 'connectTimeout'])).toBe('stallTimeout');
  });
});
