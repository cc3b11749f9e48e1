import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Agent, startAgent } from '../harness/agent.ts';
import { entry } from '../harness/entry.ts';
import { childrenOf, run, runAnyway, start } from '../harness/process.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

const image = '127.0.0.1:1/team/app:v1';

let scope: Scope;
let agent: Agent;
beforeEach(async () => {
  scope = new Scope();
  agent = await startAgent(scope, { memoryTier: 32 * 1024 * 1024 });
});
afterEach(() => scope.close());

/** A pull that is let in and fails: there is no runtime, and no registry either. */
const failingPull = () => agent.cri.pullImage(image).catch(() => undefined);

test('status, pulls and peers tell of the agent that runs, as text and as JSON', async () => {
  await failingPull();
  await agent.nthPull(1);
  const status = await agent.shoal('status');
  expect(status).toMatchObject({ code: 0, stderr: '' });
  expect(status.stdout).toMatch(/^shoal \S+: ready\nengine +up .*\npulls +0 under way, 0 ok, 1 failed/);
  // No terminal, no colours.
  expect(status.stdout).not.toContain('\x1b');
  expect(JSON.parse((await agent.shoal('status', '--output', 'json')).stdout)).toMatchObject({ ready: true });
  const pulls = JSON.parse((await agent.shoal('pulls', '--output', 'json')).stdout);
  expect(pulls).toMatchObject([{ id: '1', image, state: 'failed' }]);
  expect((await agent.shoal('peers')).stdout).toContain('this node is alone');
});

test('pulls explain takes one apart, draws it, and says when there is none', async () => {
  await failingPull();
  await agent.nthPull(1);
  const svg = path.join(await temporaryFolder(scope, 'svg'), 'pull.svg');
  const { stdout, code } = await agent.shoal('pulls', 'explain', '1', '--svg', svg);
  expect(code).toBe(0);
  expect(stdout).toContain(`pull 1: ${image}\nfailed after`);
  expect(stdout).toContain('what went wrong');
  expect(await readFile(svg, 'utf8')).toContain(image);
  expect(await agent.shoal('pulls', 'explain', '99')).toMatchObject({
    code: 1,
    stderr: 'shoal: there is no pull 99 (any more); `shoal pulls` lists those that are remembered\n',
  });
  expect((await agent.shoal('pulls', 'explain', '../1')).code).toBe(64);
});

test('pulls --watch tells of each begin and end, a line each where there is no terminal', async () => {
  const command = [process.execPath, entry, 'pulls', '--watch', '--config', agent.configFile] as const;
  await failingPull();
  await agent.nthPull(1);
  const watch = await start(scope, 'shoal pulls --watch', command);
  // Until it has begun to look, a pull may end unseen: pulls are made until one is told.
  await watch.until(
    async () => {
      await failingPull();
      return watch.output.includes(' failed after ');
    },
    { what: 'a pull that was seen', timeoutMs: 60_000 },
  );
  expect(watch.output).toMatch(
    /^(\d+) begins: 127\.0\.0\.1:1\/team\/app:v1\n\1 failed after .*: 127\.0\.0\.1:1\/team\/app:v1, 0 B\n/,
  );
  expect(watch.output).not.toMatch(/^1 /m);
});

test.each(['SIGINT', 'SIGTERM'] as const)('pulls --watch leaves a terminal as it was after %s', async (signal) => {
  const command = `exec ${process.execPath} ${entry} pulls --watch --config ${agent.configFile}`;
  // `script` gives it a terminal.
  const watch = await start(scope, 'script', ['script', '--quiet', '--flush', '--command', command, '/dev/null']);
  // The cursor is hidden with the first bar.
  await watch.until(
    async () => {
      if (watch.output.includes('\x1b[?25l')) return true;
      await failingPull();
      return false;
    },
    { what: 'a bar', timeoutMs: 30_000 },
  );
  const [pid = 0] = await childrenOf(watch.pid);
  process.kill(pid, signal);
  await watch.exited;
  expect(watch.output.lastIndexOf('\x1b[?25h')).toBeGreaterThan(watch.output.lastIndexOf('\x1b[?25l'));
  expect(watch.output.lastIndexOf('\x1b[?7h')).toBeGreaterThan(watch.output.lastIndexOf('\x1b[?7l'));
});

test('without an agent each of them ends with 69 and says so', async () => {
  await agent.stop();
  const commands = [['status'], ['pulls'], ['pulls', 'explain', '1'], ['peers'], ['pull', image], ['preheat', image]];
  for (const command of commands) {
    const { code, stderr, stdout } = await agent.shoal(...command);
    expect([code, stdout]).toEqual([69, '']);
    expect(stderr).toMatch(/^shoal: no agent answers in .*\n$/);
  }
});

test('an engine that hangs is told as that, and the mend is to start it anew', async () => {
  const engine = await agent.enginePid();
  process.kill(engine, 'SIGSTOP');
  // Else the agent could not end it.
  scope.defer(() => process.kill(engine, 'SIGCONT'));
  expect(await agent.shoal('peers')).toMatchObject({
    code: 69,
    stderr: expect.stringMatching(/^shoal: the engine in .* does not answer in time\. `shoal doctor` looks why\n$/),
  });
  const { stdout } = await agent.shoal('doctor', '--registry', '127.0.0.1:1', '--output', 'json');
  const { groups } = JSON.parse(stdout) as { groups: { findings: { about: string; says: string; mend: string }[] }[] };
  expect(groups.flatMap(({ findings }) => findings).find(({ about }) => about === 'engine')).toMatchObject({
    says: expect.stringContaining('does not answer'),
    mend: expect.stringContaining('systemctl restart shoal'),
  });
});

test('the completion that is printed is one that bash takes', async () => {
  const { stdout } = await runAnyway([process.execPath, entry, 'completion', 'bash']);
  await run(['bash', '-n'], { input: stdout });
});
