import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { entry } from '../harness/entry.ts';
import { type RunResult, runAnyway } from '../harness/process.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

let scope: Scope;
let folder: string;
beforeEach(async () => {
  scope = new Scope();
  folder = await temporaryFolder(scope, 'cli');
});
afterEach(() => scope.close());

function shoal(args: readonly string[], env: Record<string, string> = {}): Promise<RunResult> {
  return runAnyway([process.execPath, entry, ...args], { env: { SHOAL_CONFIG: undefined, ...env } });
}

async function configFile(text: string): Promise<string> {
  const file = path.join(folder, 'config.yaml');
  await writeFile(file, text);
  return file;
}

describe('shoal', () => {
  test('prints help on standard output', async () => {
    const { code, stdout } = await shoal(['--help']);
    expect(code).toBe(0);
    for (const command of ['agent', 'config', 'runtime', 'version']) expect(stdout).toContain(command);
    expect(stdout).not.toContain('engine');
  });

  test.each([
    [['confg'], "unknown command 'confg'"],
    [['config', 'check', '--confg', 'x'], "unknown option '--confg'"],
    [['config', 'check', '--output', 'xml'], 'Allowed choices are text, json'],
    [['runtime', 'configure'], "'--runtime <name>' not specified"],
    [['runtime', 'configure', '--runtime', 'docker'], 'Allowed choices are containerd, crio, podman'],
    [['runtime', 'configure', '--runtime', 'containerd', '--registry', 'a'], '--registry is for crio and podman'],
    [['runtime', 'configure', '--runtime', 'crio', '--config-path', 'a'], '--config-path is for containerd'],
  ])('%j is a wrong command line: exit code 64', async (args, message) => {
    const { code, stdout, stderr } = await shoal(args);
    expect(code).toBe(64);
    expect(stderr).toMatch(/^shoal: /);
    expect(stderr).toContain(message);
    expect(stdout).toBe('');
  });

  test('prints its version', async () => {
    expect((await shoal(['version'])).stdout).toMatch(/^shoal \d+\.\d+\.\d+ \(node v\d+\./);
    expect(JSON.parse((await shoal(['version', '--output', 'json'])).stdout)).toHaveProperty('version');
  });
});

describe('shoal config check', () => {
  test('says ok, and of what', async () => {
    const file = await configFile('mirror: {port: 1}');
    expect(await shoal(['config', 'check', '--config', file])).toMatchObject({ code: 0, stdout: `ok: ${file}\n` });
    expect(await shoal(['config', 'check'], { SHOAL_CONFIG: file })).toMatchObject({
      code: 0,
      stdout: `ok: ${file}\n`,
    });
  });

  test('tells everything that is wrong and exits with 78', async () => {
    const file = await configFile('mirror:\n  prt: 1\n');
    const { code, stdout } = await shoal(['config', 'check', '--config', file], { SHOAL_LOG_LEVEL: 'loud' });
    expect(code).toBe(78);
    expect(stdout).toContain(`${file}:2:3: mirror.prt: unknown key; did you mean port?`);
    expect(stdout).toContain('environment variable SHOAL_LOG_LEVEL: log.level: "loud" is not allowed here');
  });

  test('tells it to programs, too', async () => {
    const file = await configFile('mirror:\n  prt: 1\n');
    const { code, stdout } = await shoal(['config', 'check', '--config', file, '--output', 'json']);
    expect(code).toBe(78);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, findings: [{ where: `${file}:2:3`, key: 'mirror.prt' }] });
  });

  test.each([
    ['--config', ['--config', '/nonexistent/shoal.yaml'], {}],
    ['SHOAL_CONFIG', [], { SHOAL_CONFIG: '/nonexistent/shoal.yaml' }],
  ])('a file that %s names must exist', async (by, args, env) => {
    const { code, stdout } = await shoal(['config', 'check', ...args], env);
    expect(code).toBe(78);
    expect(stdout).toBe(`/nonexistent/shoal.yaml: does not exist, but ${by} names it\n`);
  });

  test('a folder in place of the file is refused', async () => {
    const { code, stdout } = await shoal(['config', 'check', '--config', folder]);
    expect(code).toBe(78);
    expect(stdout).toContain('is not a plain file');
  });
});

describe('shoal config print', () => {
  test('prints a file that reads back as the same, with origins', async () => {
    const file = await configFile('mirror: {port: 1}');
    const printed = await shoal(['config', 'print', '--config', file, '--set', 'log.level=warn']);
    expect(printed.stdout).toContain(`port: 1 # ${file}:1:16`);
    expect(printed.stdout).toContain('level: warn # --set log.level');
    const again = await shoal(['config', 'print', '--config', await configFile(printed.stdout), '--output', 'json']);
    expect(JSON.parse(again.stdout).config).toMatchObject({ mirror: { port: 1 }, log: { level: 'warn' } });
  });

  test('exits with 78 and says why on standard error when the configuration is wrong', async () => {
    const { code, stdout, stderr } = await shoal(['config', 'print', '--set', 'mirror.port=0']);
    expect(code).toBe(78);
    expect(stdout).toBe('');
    expect(stderr).toBe('shoal: --set mirror.port: 0 is too small; allowed: an integer from 1 up to 65535\n');
  });
});

test('shoal config schema prints a JSON schema with descriptions', async () => {
  const { stdout } = await shoal(['config', 'schema']);
  expect(JSON.parse(stdout)).toMatchObject({
    additionalProperties: false,
    properties: { mirror: { properties: { port: { default: 65002, description: expect.any(String) } } } },
  });
});

test('shoal runtime configure --dry-run prints a diff and changes nothing', async () => {
  const args = ['runtime', 'configure', '--runtime', 'containerd', '--root', folder, '--dry-run'];
  const { code, stdout } = await shoal(args);
  expect(code).toBe(0);
  expect(stdout).toContain('would write');
  expect(stdout).toContain('+[host."http://127.0.0.1:65002"]');
  expect(stdout).toContain('to do: containerd does not read /etc/containerd/certs.d');
  const json = JSON.parse((await shoal([...args, '--output', 'json'])).stdout);
  expect(json).toMatchObject({ dryRun: true, changes: [{ action: 'write' }], todo: [expect.any(String)] });
});

test('shoal runtime configure says in one line why it can not', async () => {
  const { code, stderr } = await shoal([
    'runtime',
    'configure',
    '--runtime',
    'podman',
    '--root',
    folder,
    '--registry',
    '*.example.com',
  ]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^shoal: registry \*\.example\.com: .+\n$/);
});
