import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { entry } from '../harness/entry.ts';
import { freePort } from '../harness/ports.ts';
import { childrenOf, type RunningProcess, runAnyway, start } from '../harness/process.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

let scope: Scope;
let folder: string;
let configFile: string;
beforeEach(async () => {
  scope = new Scope();
  folder = await temporaryFolder(scope, 'agent');
  configFile = path.join(folder, 'config.yaml');
  // The file's mirror port is the one of Shoal on a node: what is given over it must win.
  await writeFile(
    configFile,
    JSON.stringify({
      stateDir: path.join(folder, 'state'),
      runDir: path.join(folder, 'run'),
      runtimeEndpoint: `unix://${folder}/no-runtime.sock`,
      p2p: { v2: { cache: { mode: 'memory', optionBlockSize: 67_108_864 } } },
    }),
  );
});
afterEach(() => scope.close());

async function startAgent(port: number): Promise<RunningProcess> {
  const overrides = ['--listen', path.join(folder, 'shoal.sock'), '--set', `mirror.port=${port}`];
  const command = [process.execPath, entry, 'agent', '--config', configFile, ...overrides] as const;
  return start(scope, 'shoal agent', command, { env: { SHOAL_LOG_LEVEL: 'debug' } });
}

test('shoal agent hands its engine the configuration that file, environment and flags make up', async () => {
  const port = await freePort();
  const agent = await startAgent(port);
  const ready = await agent.until(
    () => agent.output.split('\n').find((line) => line.includes('"msg":"engine ready"')),
    { what: 'a ready engine' },
  );
  expect(JSON.parse(ready)).toMatchObject({ name: 'shoal-engine', mirror: { port } });
  const answer = await fetch(`http://127.0.0.1:${port}/v2/`);
  expect(answer.status).toBe(200);

  const [engine] = await childrenOf(agent.pid);
  const commandLine = await readFile(`/proc/${engine}/cmdline`, 'utf8');
  expect(commandLine).toContain('engine\0--config-fd\0');
  expect(commandLine).not.toContain(String(port));
  expect(await agent.stop()).toEqual({ code: 0, signal: null });
});

test('an engine of which a part cannot start ends, however much of it runs already', async () => {
  // Where its own socket goes, which comes last, is a folder with something in it.
  await mkdir(path.join(folder, 'run/engine.sock/occupied'), { recursive: true });
  const port = await freePort();
  const options = ['--config', configFile, '--set', `mirror.port=${port}`];
  const engine = await start(scope, 'shoal engine', [process.execPath, entry, 'engine', ...options]);
  expect(await engine.exited).toEqual({ code: 1, signal: null });
  expect(engine.output).toContain('engine.sock');
});

test('shoal agent ends on SIGINT as on SIGTERM, with nothing left behind', async () => {
  const agent = await startAgent(await freePort());
  await agent.until(async () => (await childrenOf(agent.pid)).length > 0, { what: 'an engine' });
  const [engine] = await childrenOf(agent.pid);
  agent.kill('SIGINT');
  expect(await agent.exited).toEqual({ code: 0, signal: null });
  await expect(readFile(`/proc/${engine}/cmdline`)).rejects.toThrow('ENOENT');
});

test('a wrong configuration stops the start with 78, before anything is touched', async () => {
  const wrong = ['--log-level', 'loud', '--set', 'mirror.prot=1'];
  const command = [process.execPath, entry, 'agent', '--config', configFile, ...wrong] as const;
  const { code, stdout, stderr } = await runAnyway(command);
  expect(code).toBe(78);
  expect(stdout).toBe('');
  expect(stderr).toMatch(/^shoal: --set log\.level: "loud" is not allowed here/m);
  expect(stderr).toMatch(/^shoal: --set mirror\.prot: is not a key; did you mean mirror\.port\?/m);
  await expect(readFile(path.join(folder, 'state/loopback-secret'))).rejects.toThrow('ENOENT');
});
