import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { configureRuntime } from '../harness/agent.ts';
import { fromContainerd, startNode, type TestNode } from '../harness/node.ts';
import { Scope } from '../harness/scope.ts';

const scope = new Scope();
let node: TestNode;

beforeAll(async () => {
  node = await startNode(scope);
});
afterAll(() => scope.close());

async function pullAgain(): Promise<void> {
  await node.containerd.cri.removeImage(node.image('platforms'));
  node.origin.reset();
  await node.agent.cri.pullImage(node.image('platforms'));
}

test('runtime configure --undo makes a running containerd pull by itself again, and leaves no file', async () => {
  await pullAgain();
  expect(node.origin.requests.some(fromContainerd)).toBe(false);
  await configureRuntime(node.agent, node.containerd, '--undo');
  expect(await readdir(node.containerd.certsFolder)).toEqual([]);
  await pullAgain();
  expect(node.origin.requests.filter(fromContainerd).some((request) => request.kind === 'blob')).toBe(true);
});

test("runtime configure keeps an administrator's mirror, behind Shoal, and --undo gives it back as it was", async () => {
  const file = path.join(node.containerd.certsFolder, '_default/hosts.toml');
  const theirs = `# ours, do not touch\n[host."http://127.0.0.1:1"]\n  capabilities = ["pull"]\n`;
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, theirs);
  await configureRuntime(node.agent, node.containerd);
  const configured = await readFile(file, 'utf8');
  expect(configured).toContain(theirs);
  await pullAgain();
  expect(node.origin.requests.some(fromContainerd)).toBe(false);
  // Once more changes nothing.
  await configureRuntime(node.agent, node.containerd);
  expect(await readFile(file, 'utf8')).toBe(configured);
  await configureRuntime(node.agent, node.containerd, '--undo');
  expect(await readFile(file, 'utf8')).toBe(theirs);
});
