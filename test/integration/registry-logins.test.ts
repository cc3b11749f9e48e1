import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AcrLogin } from '../../src/acr/login.ts';
import { ServerTime } from '../../src/acr/server-time.ts';
import { askHelper } from '../../src/registry/logins/credential-helper.ts';
import { dockerConfigFile } from '../../src/registry/logins/docker-config-file.ts';
import { createLogins } from '../../src/registry/logins/logins.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';
import { waitFor } from '../harness/wait.ts';

const scope = new Scope();
let folder: string;
/** PATH with the helpers of these tests in front. */
let helpers: string;

beforeAll(async () => {
  folder = await temporaryFolder(scope, 'logins');
  const bin = path.join(folder, 'bin');
  await mkdir(bin);
  helpers = `${bin}:${process.env.PATH}`;
  const helper = async (name: string, script: string): Promise<void> => {
    const file = path.join(bin, `docker-credential-${name}`);
    await writeFile(file, `#!/bin/sh\nread -r server\n${script}\n`);
    await chmod(file, 0o755);
  };
  await helper('good', `printf '{"ServerURL":"%s","Username":"for %s, %s","Secret":"pw"}' "$server" "$server" "$1"`);
  await helper('identity', `echo '{"Username":"<token>","Secret":"refresh"}'`);
  await helper('nothing', 'echo "credentials not found in native keychain"; exit 1');
  await helper('failing', 'echo "hunter2 is wrong"; exit 3');
  await helper('babbling', 'echo "hunter2"');
  await helper('half', `echo '{"Username":"u"}'`);
  await helper('endless', 'exec cat /dev/zero');
  await helper('hanging', 'sleep 1000 & echo $! > "$CHILD_FILE"; wait');
});
afterAll(() => scope.close());

describe('a credential helper', () => {
  const ask = (helper: string, signal?: AbortSignal) =>
    askHelper(helper, 'https://registry.example.com', { signal, path: helpers });

  test('gives the login for the server that it reads from its standard input', async () => {
    const username = 'for https://registry.example.com, get';
    expect(await ask('good')).toEqual({ kind: 'basic', username, password: 'pw' });
  });

  test('gives an identity token under the name <token>', async () => {
    expect(await ask('identity')).toEqual({ kind: 'identity-token', token: 'refresh' });
  });

  test('may have nothing', async () => {
    expect(await ask('nothing')).toBeUndefined();
  });

  test.each([
    ['missing', /docker-credential-missing can't be started: .*ENOENT/],
    ['failing', /docker-credential-failing ended with exit code 3$/],
    ['babbling', /answered with something else than JSON$/],
    ['half', /answered without Username and Secret$/],
    ['endless', /wrote more than 262144 bytes$/],
  ])('that is %s is a clear error without its output', async (helper, message) => {
    const error: Error = await ask(helper).then(
      () => new Error('it was accepted'),
      (reason: Error) => reason,
    );
    expect(error).toMatchObject({ kind: 'unauthorized', message: expect.stringMatching(message) });
    expect(error.message).not.toContain('hunter2');
  });

  test('that hangs ends with whoever waits for it, and with its children', async () => {
    const childFile = path.join(folder, 'child');
    const ending = new AbortController();
    process.env.CHILD_FILE = childFile;
    scope.defer(() => {
      delete process.env.CHILD_FILE;
    });
    const asked = ask('hanging', ending.signal);
    const child = await waitFor(async () => Number(await readFile(childFile, 'utf8')) || undefined, {
      what: 'a child',
    });
    ending.abort(new Error('no time'));
    await expect(asked).rejects.toThrow('no time');
    await waitFor(() => !isAlive(child), { what: 'the end of the child' });
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('logins out of a docker configuration', () => {
  const file = async (content: string, mode = 0o600): Promise<string> => {
    const name = path.join(folder, `config-${Math.random().toString(36).slice(2)}.json`);
    await writeFile(name, content, { mode });
    await chmod(name, mode);
    return name;
  };
  const encoded = Buffer.from('alice:correct horse').toString('base64');

  test("are those of a Kubernetes pull secret's .dockerconfigjson; others are anonymous", async () => {
    const content = JSON.stringify({
      auths: {
        'r.example.com': { auth: encoded },
        'i.example.com': { username: '<token>', identitytoken: 'refresh' },
        'r.example.com/team': { username: 'team', password: 'pw' },
      },
    });
    const logins = createLogins([dockerConfigFile(await file(content))]);
    const alice = { kind: 'basic', username: 'alice', password: 'correct horse' };
    expect(await logins.credentialsFor('r.example.com')).toEqual(alice);
    expect(await logins.credentialsFor('r.example.com', { repository: 'team/a' })).toMatchObject({ username: 'team' });
    expect(await logins.credentialsFor('i.example.com')).toEqual({ kind: 'identity-token', token: 'refresh' });
    expect(await logins.credentialsFor('docker.io')).toEqual({ kind: 'anonymous' });
  });

  test('follow the file when it changes', async () => {
    const name = await file('{}');
    const logins = createLogins([dockerConfigFile(name)]);
    expect(await logins.credentialsFor('r.example.com')).toEqual({ kind: 'anonymous' });
    await writeFile(name, JSON.stringify({ auths: { 'r.example.com': { auth: encoded } } }));
    expect(await logins.credentialsFor('r.example.com')).toMatchObject({ kind: 'basic' });
  });

  test.each([
    ['that others may write', '{}', 0o622, /others may write it \(mode 622\); chmod go-w/],
    [
      'with an entry that is no login',
      '{"auths": {"r.example.com": {"auth": "###"}}}',
      0o600,
      /the entry for r.example.com: .*not base64/,
    ],
  ])('are refused from a file %s', async (_what, content, mode, message) => {
    const logins = createLogins([dockerConfigFile(await file(content, mode))]);
    await expect(logins.credentialsFor('r.example.com')).rejects.toThrow(message);
  });

  test('are refused without the file', async () => {
    const logins = createLogins([dockerConfigFile(path.join(folder, 'none'))]);
    await expect(logins.credentialsFor('a.example')).rejects.toThrow(/dockerConfigFile: .*none can't be read: ENOENT/);
  });
});

describe("ACR's temporary logins", () => {
  test('are asked for once an hour, for the hosts of instances alone, and come after the configured ones', async () => {
    let now = 0;
    const asked: string[] = [];
    const login = new AcrLogin({
      instanceOf: (host) => (host.endsWith('.cr.example') ? 'cri-a' : undefined),
      login: async (id) => {
        asked.push(id);
        return { username: 'cr_temp_user', password: `pw ${asked.length}`, expiresAt: now + 3_600_000 };
      },
      time: new ServerTime(() => now),
    });
    const fixed = {
      credentialsFor: async (registry: string) =>
        registry === 'b.cr.example' ? ({ kind: 'anonymous' } as const) : undefined,
    };
    const logins = createLogins([fixed, login]);
    const [first, second] = await Promise.all([
      logins.credentialsFor('a.cr.example'),
      logins.credentialsFor('a.cr.example'),
    ]);
    expect(first).toEqual({ kind: 'basic', username: 'cr_temp_user', password: 'pw 1' });
    expect(second).toEqual(first);
    now = 3_299_000;
    expect(await logins.credentialsFor('a.cr.example')).toEqual(first);
    now = 3_301_000;
    expect(await logins.credentialsFor('a.cr.example')).toMatchObject({ password: 'pw 2' });
    expect(await logins.credentialsFor('b.cr.example')).toEqual({ kind: 'anonymous' });
    expect(await logins.credentialsFor('docker.io')).toEqual({ kind: 'anonymous' });
    expect(asked).toEqual(['cri-a', 'cri-a']);
  });
});
