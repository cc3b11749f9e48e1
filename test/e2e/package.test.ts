import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { packageFolder, packageName } from '../harness/package.ts';
import { run, start } from '../harness/process.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

let scope: Scope;
beforeEach(() => {
  scope = new Scope();
});
afterEach(() => scope.close());

const repository = path.resolve(import.meta.dirname, '../..');
const sumIn = async (folder: string, name: string): Promise<string> =>
  readFile(path.join(folder, `${name}.tar.gz.sha256`), 'utf8');

test('the package built again, elsewhere, with another clock, umask and language, has the same bytes', async () => {
  const name = await packageName();
  const out = await temporaryFolder(scope, 'package');
  const build = `umask 077 && exec "$0" ${repository}/scripts/package/main.ts --out "$1"`;
  const env = { TZ: 'Pacific/Auckland', LANG: 'tr_TR.UTF-8', HOME: out };
  await run(['sh', '-c', build, process.execPath, out], { env, cwd: '/', timeoutMs: 170_000 });
  expect(await sumIn(out, name)).toBe(await sumIn(packageFolder, name));
});

test('every file is in its list of sums, has a licence beside it, and its bill of materials names Node', async () => {
  const folder = path.join(packageFolder, await packageName());
  await run(['sh', '-c', 'cd "$1" && sha256sum --check --quiet --strict SHA256SUMS', 'sh', folder]);
  const listed = (await readFile(path.join(folder, 'SHA256SUMS'), 'utf8')).split('\n').filter(Boolean).length;
  const present = await run(['sh', '-c', 'find "$1" -type f ! -name SHA256SUMS | wc -l', 'sh', folder]);
  expect(listed).toBe(Number(present));
  const bill = JSON.parse(await readFile(path.join(folder, 'sbom.cdx.json'), 'utf8'));
  expect(bill).toMatchObject({ bomFormat: 'CycloneDX', specVersion: '1.6' });
  for (const { name, version } of bill.components as Array<{ name: string; version: string }>) {
    const texts = await run(['ls', path.join(folder, 'licences', `${name.replace('/', '__')}-${version}`)]);
    expect(texts).not.toBe('');
  }
  expect(bill.components).toContainEqual(expect.objectContaining({ name: 'node', version: process.versions.node }));
});

test('unpacked in a Debian 12 with nothing else it runs the demo: every node has the image, the registry sent it once', {
  // The first test on a machine that needs a Debian 12 makes it.
  timeout: 10 * 60_000,
}, async () => {
  const demo = path.join(repository, 'bench/demo.ts');
  const command = [process.execPath, demo, '--packaged', '--image-mib', '24'] as const;
  // What it started it takes back when it is told to stop, too.
  const running = await start(scope, 'demo', command, { graceMs: 30_000 });
  const { code } = await running.exited;
  expect(running.output).toContain('every Shoal runs from the package, with its Node, in a Debian 12');
  const origin = /demo ok: nodes=3 image=\d+ origin=(\d\.\d\d)x\n$/.exec(running.output)?.[1];
  expect(origin, running.tail()).toBeDefined();
  expect(Number(origin)).toBeLessThanOrEqual(1.02);
  expect(code).toBe(0);
});
