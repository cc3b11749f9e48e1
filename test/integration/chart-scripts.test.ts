import { X509Certificate } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { resolveConfig } from '../../src/config/load.ts';
import { kubeconfigAccess } from '../../src/kubernetes/kubeconfig.ts';
import { initAuthority } from '../../src/swarm/tls/authority.ts';
import { configOf } from '../harness/chart-objects.ts';
import { entry } from '../harness/entry.ts';
import { chartFolder, renderChart } from '../harness/helm.ts';
import { type RunningProcess, type RunResult, runAnyway, start } from '../harness/process.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';
import { waitFor } from '../harness/wait.ts';

/** The scripts that the chart's pods run, by the shell that runs them there. */

const script = (name: string): string => path.join(chartFolder, 'files', name);

let scope: Scope;
let folder: string;
const file = (...names: string[]): string => path.join(folder, ...names);
const program = async (name: string, text: string): Promise<void> => {
  await writeFile(file(name), text);
  await chmod(file(name), 0o755);
};

beforeEach(async () => {
  scope = new Scope();
  folder = await temporaryFolder(scope, 'chart');
});
afterEach(() => scope.close());

describe('certificates.sh', () => {
  const environment = () => ({
    PATH: `${file('bin')}:${process.env.PATH}`,
    AUTHORITY: file('authority'),
    CERTIFICATES: file('certificates'),
    MEMBER: 'cn-hangzhou.192.168.0.1',
    ADDRESSES: '192.168.0.1,fd00::1',
    DAYS: '90',
    RENEW_BEFORE: '30',
    EVERY: '0.2',
  });
  const once = (): Promise<RunResult> =>
    runAnyway(['/bin/sh', script('certificates.sh'), 'once'], { env: environment() });
  const certificate = async (): Promise<X509Certificate> =>
    new X509Certificate(await readFile(file('certificates', 'swarm.crt')));

  beforeEach(async () => {
    await mkdir(file('bin'));
    await program('bin/shoal', `#!/bin/sh\nexec ${process.execPath} ${entry} "$@"\n`);
  });

  test("makes the member's certificate for the configuration's file names", async () => {
    await initAuthority({ directory: file('authority') });
    expect(await once()).toMatchObject({ code: 0, stderr: '' });
    const made = await certificate();
    expect(made.subject).toBe('CN=cn-hangzhou.192.168.0.1');
    for (const address of ['192.168.0.1', 'fd00::1']) expect(made.checkIP(address)).toBe(address);
    expect(await readFile(file('certificates', 'swarm-ca.crt'))).toEqual(await readFile(file('authority', 'ca.crt')));
    expect(await readFile(file('certificates', 'swarm.key'), 'utf8')).toContain('PRIVATE KEY');
    const visible = (await readdir(file('certificates'))).filter((name) => !name.startsWith('.'));
    expect(visible.sort()).toEqual(['swarm-ca.crt', 'swarm.crt', 'swarm.key']);

    // Again, in a container that was restarted: nothing changes.
    expect(await once()).toMatchObject({ code: 0 });
    expect((await certificate()).fingerprint256).toBe(made.fingerprint256);
  });

  test('makes a new one when the authority is another, and goes on while there is none', async () => {
    await initAuthority({ directory: file('authority') });
    await once();
    const before = (await certificate()).fingerprint256;
    const keeper = await start(scope, 'certificates.sh', ['/bin/sh', script('certificates.sh'), 'keep'], {
      env: environment(),
    });
    await rename(file('authority'), file('gone'));
    await keeper.until(() => keeper.output.includes('could not be renewed'), {
      what: 'the complaint',
      timeoutMs: 60_000,
    });
    expect((await certificate()).fingerprint256).toBe(before);
    await initAuthority({ directory: file('new') });
    await rename(file('new'), file('authority'));
    await keeper.until(async () => (await certificate()).fingerprint256 !== before, {
      what: 'renewal',
      timeoutMs: 60_000,
    });
    const authority = new X509Certificate(await readFile(file('authority', 'ca.crt')));
    expect((await certificate()).checkIssued(authority)).toBe(true);
    await waitFor(
      async () =>
        (await readFile(file('certificates', 'swarm-ca.crt'))).equals(await readFile(file('authority', 'ca.crt'))),
      { what: "the new authority's certificate", timeoutMs: 60_000 },
    );
    keeper.kill('SIGTERM');
    expect(await keeper.exited).toMatchObject({ code: 0 });
  });

  test('fails without an authority, and says so', async () => {
    expect(await once()).toMatchObject({ code: 1, stderr: expect.stringContaining('shoal certs init') });
  });
});

describe('node.sh', () => {
  const environment = (env: Record<string, string>) => ({
    NODE_NAME: 'cn-hangzhou.192.168.0.1',
    BOOTSTRAP: file('bootstrap.sh'),
    INTERVAL: '0.2',
    HOST: file('host'),
    FILES: file('files'),
    LEFT: file('left'),
    PATH: `${file('bin')}:${process.env.PATH}`,
    ...env,
  });
  const node = (command: string, env: Record<string, string>): Promise<RunResult> =>
    runAnyway(['/bin/sh', script('node.sh'), command], { env: environment(env) });

  describe('prepare', () => {
    const prepare = async (env: Record<string, string>): Promise<void> => {
      await Promise.all(['files', 'config'].map((name) => mkdir(file(name))));
      await writeFile(file('config', 'config.yaml'), configOf(await renderChart(), 'agent'));
      const folders = { FILES: file('files'), CONFIG: file('config') };
      expect(await node('prepare', { ...folders, ...env })).toMatchObject({ code: 0, stderr: '' });
    };
    const address = async (): Promise<string> => {
      await writeFile(file('files', 'kubernetes-ca.crt'), 'the CA');
      await writeFile(file('files', 'kubernetes-token'), 'a-token\n');
      const { server, ca, token, insecure } = await kubeconfigAccess({ file: file('files', 'kubeconfig') })();
      expect({ ca, token, insecure }).toEqual({ ca: 'the CA', token: 'a-token', insecure: false });
      return server.href;
    };

    test("writes the node's name into the configuration, and a kubeconfig that is understood", async () => {
      await prepare({ KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' });
      const text = await readFile(file('files', 'config.yaml'), 'utf8');
      const { config } = resolveConfig({ document: { file: 'config.yaml', text }, env: {} });
      expect(config.p2p.id).toBe('cn-hangzhou.192.168.0.1');
      expect(await address()).toBe('https://10.96.0.1/');
    });

    test('takes an IPv6 address of the API', async () => {
      await prepare({ KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' });
      expect(await address()).toBe('https://[fd00::1]:6443/');
    });

    test('takes the address that the values name', async () => {
      await prepare({
        KUBERNETES_SERVICE_HOST: '10.96.0.1',
        KUBERNETES_SERVICE_PORT: '443',
        API_SERVER: 'https://api.example.com:6443',
      });
      expect(await address()).toBe('https://api.example.com:6443/');
    });
  });

  describe('ready', () => {
    const ready = async (wanted: string): Promise<boolean> =>
      (await node('ready', { WANTED: wanted, BOOTSTRAP: file('image/current/bootstrap.sh') })).code === 0;
    const state = (...names: string[]): string => file('host/opt/shoal', ...names);

    beforeEach(async () => {
      await mkdir(file('image/0.1.0'), { recursive: true });
      await symlink('0.1.0', file('image/current'));
    });

    /** The node's systemd, asked through nsenter, is the only thing here that is not a file. */
    const unit = async (isActive: boolean): Promise<void> => {
      await mkdir(file('bin'), { recursive: true });
      const expected = '--target 1 --mount -- systemctl is-active --quiet shoal.service';
      await program('bin/nsenter', `#!/bin/sh\n[ "$*" = '${expected}' ] || exit 99\nexit ${isActive ? 0 : 3}\n`);
    };

    test('installed: when the installation is complete and the unit is active', async () => {
      await unit(true);
      expect(await ready('installed')).toBe(false);
      await mkdir(state('0.1.0'), { recursive: true });
      await mkdir(state('state'));
      await symlink('0.1.0', state('current'));
      await writeFile(state('state', 'unfinished'), '');
      expect(await ready('installed')).toBe(false);
      await rm(state('state', 'unfinished'));
      expect(await ready('installed')).toBe(true);
      await unit(false);
      expect(await ready('installed')).toBe(false);
    });

    test("installed: not while a change is under way, nor with another version than the pod's", async () => {
      await unit(true);
      await mkdir(state('state/before'), { recursive: true });
      await mkdir(state('0.1.0'));
      await symlink('0.1.0', state('current'));
      expect(await ready('installed')).toBe(false);
      await rm(state('state/before'), { recursive: true });
      expect(await ready('installed')).toBe(true);
      // Put back by bootstrap.sh because the new one failed.
      await mkdir(state('0.0.9'));
      await rm(state('current'));
      await symlink('0.0.9', state('current'));
      expect(await ready('installed')).toBe(false);
    });

    test('removed: when nothing is left, the files that the pod itself wrote included', async () => {
      await mkdir(state(), { recursive: true });
      expect(await ready('removed')).toBe(false);
      await rm(state(), { recursive: true });
      // bootstrap.sh is done, and the keys are still there.
      expect(await ready('removed')).toBe(false);
      await writeFile(file('left'), '');
      expect(await ready('removed')).toBe(true);
    });
  });

  describe('run', () => {
    const there = (name: string): string => file('host/etc/shoal', name);
    const read = (name: string): Promise<string | undefined> => readFile(there(name), 'utf8').catch(() => undefined);
    const started = (wanted: string): Promise<RunningProcess> => {
      const command = ['/bin/sh', script('node.sh'), 'run', file('kubernetes'), file('certificates')] as const;
      return start(scope, 'node.sh', command, { env: environment({ WANTED: wanted }) });
    };

    beforeEach(async () => {
      for (const name of ['kubernetes', 'certificates/.issued']) await mkdir(file(name), { recursive: true });
      await writeFile(file('kubernetes/kubernetes-token'), 'first');
      await writeFile(file('certificates/.issued/node.key'), 'key');
      await symlink('.issued/node.key', file('certificates/swarm.key'));
    });

    test('installs and watches; credentials are there before, and are renewed without it', async () => {
      await program('bootstrap.sh', `#!/bin/sh\nls ${there('')} >${file('before')}\necho "$@"\nexec sleep 60\n`);
      const running = await started('installed');
      await running.until(() => running.output.includes('\n'), { what: 'bootstrap.sh', timeoutMs: 20_000 });
      expect(running.output).toBe(`watch --host ${file('host')} --interval 0.2 --files ${file('files')}\n`);
      expect(await readFile(file('before'), 'utf8')).toBe('kubernetes-token\nswarm.key\n');
      expect(((await stat(there('swarm.key'))).mode & 0o777).toString(8)).toBe('600');
      await writeFile(file('kubernetes/kubernetes-token'), 'second');
      await running.until(async () => (await read('kubernetes-token')) === 'second', {
        what: 'the new token',
        timeoutMs: 20_000,
      });
      expect(await read('swarm.key')).toBe('key');
      await running.stop();
    });

    test('takes the node back once, with all that it wrote, then waits for its end', async () => {
      await mkdir(file('host/etc/shoal'), { recursive: true });
      await writeFile(there('kubernetes-token'), 'first');
      await writeFile(there('mine'), "an administrator's");
      await program('bootstrap.sh', `#!/bin/sh\necho "$@" >>${file('calls')}\n`);
      const running = await started('removed');
      await running.until(async () => (await node('ready', { WANTED: 'removed' })).code === 0, {
        what: 'removal',
        timeoutMs: 20_000,
      });
      expect(await read('kubernetes-token')).toBeUndefined();
      expect(await readFile(file('calls'), 'utf8')).toBe(`uninstall --host ${file('host')}\n`);
      expect(await read('mine')).toBe("an administrator's");
      expect(running.exit).toBeUndefined();
      await running.stop();
    });

    test('ends, to be started again, when taking the node back fails', async () => {
      await program('bootstrap.sh', '#!/bin/sh\nexit 1\n');
      const running = await started('removed');
      expect(await running.exited).toMatchObject({ code: 1 });
    });
  });
});
