import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { kubeconfigAccess } from '../../../src/kubernetes/kubeconfig.ts';
import { serviceAccountAccess } from '../../../src/kubernetes/service-account.ts';
import { Scope } from '../../harness/scope.ts';
import { temporaryFolder } from '../../harness/temp.ts';

let scope: Scope;
let folder: string;
beforeEach(async () => {
  scope = new Scope();
  folder = await temporaryFolder(scope, 'kubeconfig');
});
afterEach(() => scope.close());

const base64 = (text: string) => Buffer.from(text).toString('base64');
const cluster = { server: 'https://192.0.2.1:6443', 'certificate-authority-data': base64('the CA') };

async function write(parts: { cluster?: object; user?: object; more?: object }): Promise<string> {
  const file = path.join(folder, 'config');
  const content = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'here',
    clusters: [{ name: 'c', cluster: parts.cluster ?? cluster }],
    users: [{ name: 'u', user: parts.user ?? { token: 'a-token' } }],
    contexts: [{ name: 'here', context: { cluster: 'c', user: 'u' } }],
    ...parts.more,
  };
  await writeFile(file, stringify(content));
  return file;
}

describe('a kubeconfig file', () => {
  test('with inline certificates and a token gives them', async () => {
    const user = {
      'client-certificate-data': base64('certificate'),
      'client-key-data': base64('key'),
      token: 'a-token',
    };
    const access = await kubeconfigAccess({ file: await write({ user }) })();
    expect(access.server.href).toBe('https://192.0.2.1:6443/');
    expect(access).toMatchObject({
      ca: 'the CA',
      certificate: 'certificate',
      key: 'key',
      token: 'a-token',
      insecure: false,
    });
  });

  test('names files relative to itself, and they are read anew each time', async () => {
    await mkdir(path.join(folder, 'pki'));
    await writeFile(path.join(folder, 'pki/ca.pem'), 'the CA');
    await writeFile(path.join(folder, 'token'), 'first\n');
    const relative = { server: cluster.server, 'certificate-authority': 'pki/ca.pem' };
    const access = kubeconfigAccess({
      file: await write({ cluster: relative, user: { tokenFile: 'token', token: 'old' } }),
    });
    expect(await access()).toMatchObject({ ca: 'the CA', token: 'first' });
    await writeFile(path.join(folder, 'token'), 'second');
    expect(await access()).toMatchObject({ token: 'second' });
  });

  test('may have several contexts, of which one is chosen', async () => {
    const clusters = [
      { name: 'c', cluster },
      { name: 'other', cluster: { ...cluster, server: 'https://192.0.2.2' } },
    ];
    const contexts = [
      { name: 'here', context: { cluster: 'c' } },
      { name: 'there', context: { cluster: 'other' } },
    ];
    const file = await write({ more: { clusters, contexts } });
    expect((await kubeconfigAccess({ file, context: 'there' })()).server.hostname).toBe('192.0.2.2');
    await expect(kubeconfigAccess({ file, context: 'nowhere' })()).rejects.toThrow(/no context "nowhere"/);
  });

  const refused: [name: string, parts: Parameters<typeof write>[0], words: RegExp][] = [
    ['exec', { user: { exec: { command: 'aws' } } }, /exec plugins are not run.*tokenFile/],
    ['auth-provider', { user: { 'auth-provider': { name: 'gcp' } } }, /auth-provider is not supported/],
    ['username', { user: { username: 'admin', password: 'hunter2' } }, /username is not supported/],
    ['impersonation', { user: { token: 't', as: 'admin' } }, /as is not supported/],
    ['proxy-url', { cluster: { ...cluster, 'proxy-url': 'http://proxy' } }, /proxy-url is not supported/],
    ['insecure', { cluster: { ...cluster, 'insecure-skip-tls-verify': true } }, /insecure-skip-tls-verify would give/],
    ['http', { cluster: { server: 'http://192.0.2.1' } }, /server is http: the token would travel in the clear/],
    ['no URL', { cluster: { server: '192.0.2.1' } }, /server is not an https URL/],
    ['no server', { cluster: {} }, /clusters\.0\.cluster\.server is not what a kubeconfig has there/],
    ['a certificate without key', { user: { 'client-certificate-data': base64('c') } }, /needs its key/],
    ['a broken token', { user: { token: 'hunter2\nX-Header: 1' } }, /token holds no bearer token/],
    ['an unknown user', { more: { users: [] } }, /no user "u"/],
    ['an unknown cluster', { more: { clusters: [] } }, /no cluster "c"/],
  ];
  test.each(refused)('%s is refused with the reason, and no secret in it', async (_name, parts, words) => {
    const reading = kubeconfigAccess({ file: await write(parts) })();
    await expect(reading).rejects.toThrow(words);
    await expect(reading).rejects.toMatchObject({ kind: 'configuration' });
    await expect(reading).rejects.not.toThrow(/hunter2/);
  });

  test('what is insecure is followed when that is said in so many words', async () => {
    const file = await write({ cluster: { ...cluster, 'insecure-skip-tls-verify': true } });
    expect(await kubeconfigAccess({ file, allowInsecure: true })()).toMatchObject({ insecure: true });
  });

  test('that is missing, a folder, too large or no YAML is named, its content is not', async () => {
    const access = (name: string) => kubeconfigAccess({ file: path.join(folder, name) })();
    await expect(access('missing')).rejects.toThrow(/missing can't be read: ENOENT/);
    await expect(access('.')).rejects.toThrow(/not a plain file/);
    await writeFile(path.join(folder, 'large'), Buffer.alloc(1024 * 1024 + 1));
    await expect(access('large')).rejects.toThrow(/larger than 1048576 bytes/);
    await writeFile(path.join(folder, 'broken'), 'token: "hunter2');
    await expect(access('broken')).rejects.toThrow(/^kubeconfig \S+: it is not YAML$/);
  });
});

describe('a service account', () => {
  const environment = { KUBERNETES_SERVICE_HOST: '10.0.0.1', KUBERNETES_SERVICE_PORT: '443' };

  test('is the projected folder and the two variables; the token is read anew each time', async () => {
    await writeFile(path.join(folder, 'ca.crt'), 'the CA');
    await writeFile(path.join(folder, 'token'), 'first');
    const access = serviceAccountAccess({ environment, folder });
    expect(await access()).toMatchObject({ ca: 'the CA', token: 'first', insecure: false });
    expect((await access()).server.href).toBe('https://10.0.0.1/');
    await writeFile(path.join(folder, 'token'), 'second');
    expect((await access()).token).toBe('second');
  });

  test('may have an IPv6 API server', async () => {
    await writeFile(path.join(folder, 'ca.crt'), 'the CA');
    await writeFile(path.join(folder, 'token'), 'first');
    const ipv6 = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' };
    expect((await serviceAccountAccess({ environment: ipv6, folder })()).server.host).toBe('[fd00::1]:6443');
  });

  test('that is not there is told with the mend', async () => {
    await expect(serviceAccountAccess({ environment: {}, folder })()).rejects.toThrow(/name a kubeconfig file/);
    await expect(serviceAccountAccess({ environment, folder })()).rejects.toThrow(/(ca\.crt|token) can't be read/);
  });
});
