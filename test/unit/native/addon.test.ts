import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { interfaceVersion, loadAddon } from '../../../src/native/addon.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'shoal-addon-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const calls = [
  'connect',
  'createArena',
  'discard',
  'crc32c',
  'crc32cOffLoop',
  'setSendBuffer',
  'Sha256',
  'BlockDevice',
];

let files = 0;
/** A module that stands in for an addon with these exports; all of its functions fail. */
function moduleWith(names: readonly string[], version: unknown): string {
  files += 1;
  const file = path.join(folder, `${files}.cjs`);
  const refuse = "() => { throw new Error('called'); }";
  const text = names.map((name) => `exports[${JSON.stringify(name)}] = ${refuse};\n`).join('');
  writeFileSync(file, `${text}exports.interfaceVersion = ${JSON.stringify(version)};\n`);
  return file;
}

describe('an addon is refused before it is called, in words that name cause and mend', () => {
  it.each([
    ['from before there were versions', undefined, 'of an unknown version'],
    ['of an older tree', interfaceVersion - 1, `version ${interfaceVersion - 1}`],
    ['of a newer tree', interfaceVersion + 1, `version ${interfaceVersion + 1}`],
  ])('%s', (_what, version, words) => {
    const file = moduleWith(calls, version);
    expect(() => loadAddon(file)).toThrow(file);
    expect(() => loadAddon(file)).toThrow(words);
    expect(() => loadAddon(file)).toThrow(`this Shoal needs ${interfaceVersion}`);
    expect(() => loadAddon(file)).toThrow(/`make build`.*install the package again/);
  });

  it('of the right version that lacks a call', () => {
    const file = moduleWith(calls.slice(0, -2), interfaceVersion);
    expect(() => loadAddon(file)).toThrow(/has no Sha256, BlockDevice.*`make build`/);
  });

  it('that is not there, or is none', () => {
    expect(() => loadAddon(path.join(folder, 'none.node'))).toThrow(/none\.node cannot be loaded.*`make build`/);
    const file = path.join(folder, 'text.node');
    writeFileSync(file, 'no library');
    expect(() => loadAddon(file)).toThrow(/text\.node cannot be loaded.*`make build`/);
  });
});

it('one with everything is connected', () => {
  expect(() => loadAddon(moduleWith(calls, interfaceVersion))).toThrow('called');
});
