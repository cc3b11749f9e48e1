import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { startNode, type TestNode } from '../harness/node.ts';
import { Scope } from '../harness/scope.ts';
import { startTokenServer } from '../harness/token-server.ts';

const scope = new Scope();
afterAll(() => scope.close());

const user = 'alice';
const passwords = ['s3cret-right-hunter2', 's3cret-wrong-hunter3'];
const identityToken = 's3cret-identity-refresh';

/** Each secret as it is, and as it travels: Basic's and AuthConfig's base64, percent-encoded in a form. */
function formsOf(secret: string): string[] {
  const encoded = Buffer.from(`${user}:${secret}`).toString('base64');
  return [secret, encoded, encoded.replace(/=+$/, ''), Buffer.from(secret).toString('base64').replace(/=+$/, '')];
}

async function useEverySecret(node: TestNode): Promise<void> {
  const [right = '', wrong = ''] = passwords;
  const image = node.image('platforms');
  const credentials = [
    { username: user, password: right },
    { username: user, password: wrong },
    { auth: Buffer.from(`${user}:${right}`).toString('base64') },
    { identity_token: identityToken },
    { registry_token: 's3cret-registry-token' },
  ];
  for (const auth of credentials) {
    await node.agent.cri.pullImage(image, { auth }).catch(() => undefined);
    await node.containerd.cri.removeImage(image);
  }
}

/** All that the telemetry port tells. */
async function everythingShown({ telemetryUrl }: TestNode['agent']): Promise<string> {
  const get = async (page: string) => (await fetch(`${telemetryUrl}${page}`)).text();
  const pulls: readonly { readonly id: string }[] = JSON.parse(await get('/api/pulls'));
  const pages = ['/metrics', '/readyz', '/api/status', '/api/pulls', ...pulls.map(({ id }) => `/api/pulls/${id}`)];
  return (await Promise.all(pages.map(get))).join('\n');
}

test('no secret is in any line of the log, at the most talkative level, nor in what the telemetry port shows', async () => {
  const [right = ''] = passwords;
  const rights = { platforms: ['pull'] };
  const tokens = await startTokenServer(scope, {
    users: { [user]: { password: right, refreshToken: identityToken, rights } },
  });
  for (const auth of [tokens.auth, { htpasswd: { [user]: right } }]) {
    const node = await startNode(scope, { auth, logLevel: 'trace' });
    await useEverySecret(node);
    // The failures are told, too: the registry away, the engine gone.
    node.origin.rule = () => ({ kind: 'status', status: 503 });
    await useEverySecret(node);
    const shown = await everythingShown(node.agent);
    process.kill(await node.agent.enginePid(), 'SIGKILL');
    await useEverySecret(node);
    await node.agent.stop();

    const log = node.agent.process.output;
    expect(log.split('\n').length).toBeGreaterThan(10);
    expect(log).toContain('platforms');
    expect(shown).toContain('platforms');
    const loopback = (await readFile(path.join(node.agent.stateDir, 'loopback-secret'), 'utf8')).trim();
    const secrets = [...passwords, identityToken, 's3cret-registry-token'].flatMap(formsOf);
    // Tokens that the token server made are JSON web tokens.
    for (const secret of [...secrets, loopback, 'eyJ']) expect(`${log}${shown}`).not.toContain(secret);
  }
});
