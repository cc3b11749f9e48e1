import { chmod, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { resolveConfig } from '../../../src/config/load.ts';
import { readLoopbackSecret } from '../../../src/config/loopback.ts';
import { type ConfigureOptions, type ConfigureReport, configureRuntime } from '../../../src/runtime/configure.ts';
import { Scope } from '../../harness/scope.ts';
import { temporaryFolder } from '../../harness/temp.ts';

let scope: Scope;
let root: string;
beforeEach(async () => {
  scope = new Scope();
  root = await temporaryFolder(scope, 'root');
});
afterEach(() => scope.close());

const { config } = resolveConfig({ env: {} });
const hostsToml = 'etc/containerd/certs.d/_default/hosts.toml';
const dropIn = 'etc/containers/registries.conf.d/shoal.conf';

function configure(options: Partial<ConfigureOptions> = {}, set: readonly string[] = []): Promise<ConfigureReport> {
  return configureRuntime(set.length === 0 ? config : resolveConfig({ env: {}, set }).config, {
    runtime: 'containerd',
    undo: false,
    dryRun: false,
    root,
    containerdConfig: '/etc/containerd/config.toml',
    registries: [],
    ...options,
  });
}

async function put(file: string, text: string): Promise<void> {
  await mkdir(path.dirname(path.join(root, file)), { recursive: true });
  await writeFile(path.join(root, file), text);
}

async function read(file: string): Promise<string> {
  return readFile(path.join(root, file), 'utf8');
}

async function modeOf(file: string): Promise<number> {
  return (await stat(path.join(root, file))).mode & 0o777;
}

function configToml(configPath: string): string {
  return `version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "${configPath}"\n`;
}

describe('containerd', () => {
  test('gets a file that root alone can read, with the secret that the agent will know', async () => {
    const report = await configure();
    expect(report.changes).toMatchObject([{ path: path.join(root, hostsToml), action: 'write' }]);
    expect(await modeOf(hostsToml)).toBe(0o600);
    const secret = await readLoopbackSecret(path.join(root, config.stateDir));
    expect(await read(hostsToml)).toContain(`X-Shoal-Secret = "${secret}"`);
  });

  test('is left alone by the second run', async () => {
    await configure();
    const before = await stat(path.join(root, hostsToml));
    expect((await configure()).changes).toEqual([]);
    expect((await stat(path.join(root, hostsToml))).ino).toBe(before.ino);
  });

  test('has its secret closed to others again when somebody opened the file', async () => {
    await configure();
    await chmod(path.join(root, hostsToml), 0o644);
    expect((await configure()).changes).toMatchObject([{ action: 'write' }]);
    expect(await modeOf(hostsToml)).toBe(0o600);
  });

  test("gets the mirror's port when that changes, once", async () => {
    await configure();
    await configure({}, ['mirror.port=1234']);
    expect((await read(hostsToml)).match(/\[host\."[^"]+"\]/g)).toEqual(['[host."http://127.0.0.1:1234"]']);
  });

  test('has its files, modes and folders back after --undo', async () => {
    await mkdir(path.join(root, 'etc/containerd'), { recursive: true });
    await configure();
    await configure({ undo: true });
    expect(await readdir(path.join(root, 'etc/containerd'))).toEqual([]);

    await put(hostsToml, 'server = "https://a"');
    await chmod(path.join(root, hostsToml), 0o640);
    await configure();
    expect(await modeOf(hostsToml)).toBe(0o600);
    await configure();
    await configure({ undo: true });
    expect(await read(hostsToml)).toBe('server = "https://a"');
    expect(await modeOf(hostsToml)).toBe(0o640);
  });

  test('keeps a folder that an administrator has put something into', async () => {
    await configure();
    await put('etc/containerd/certs.d/quay.io/hosts.toml', 'server = "https://quay.io"');
    await configure({ undo: true });
    expect(await readdir(path.join(root, 'etc/containerd/certs.d'))).toEqual(['quay.io']);
  });

  test('can be undone in a folder that is named, also when its config.toml is broken', async () => {
    await configure();
    await put('etc/containerd/config.toml', 'version = = 2');
    const undo = await configure({ undo: true, configPath: '/etc/containerd/certs.d' });
    expect(undo.changes).toMatchObject([{ action: 'remove' }]);
  });

  test('has nothing to undo where Shoal never was', async () => {
    expect(await configure({ undo: true })).toMatchObject({
      changes: [],
      notes: [expect.stringContaining('nothing of Shoal')],
    });
  });

  test('is not touched by a dry run, and no secret is made or shown', async () => {
    const dry = await configure({ dryRun: true });
    expect(await readdir(root)).toEqual([]);
    expect(dry.changes[0]?.diff).toContain('+    X-Shoal-Secret = "[secret]"');
    await configure();
    const undo = await configure({ dryRun: true, undo: true });
    expect(undo.changes).toMatchObject([
      { action: 'remove', diff: expect.stringContaining('X-Shoal-Secret = "[secret]"') },
    ]);
    expect(await read(hostsToml)).toContain('X-Shoal-Secret');
  });

  test('is told what to do when config_path is not set, and not when it is', async () => {
    expect((await configure()).todo).toEqual([expect.stringContaining('config_path is not set')]);
    await put('etc/containerd/config.toml', configToml('/etc/containerd/certs.d'));
    expect((await configure()).todo).toEqual([]);
  });

  test('is believed about its folder, also when an import names it', async () => {
    await put('etc/containerd/config.toml', 'version = 2\nimports = ["conf.d/*.toml"]\n');
    await put('etc/containerd/conf.d/cri.toml', configToml('/elsewhere'));
    await put('etc/containerd/conf.d/ignored.txt', 'no toml at all [');
    expect((await configure()).changes[0]?.path).toBe(path.join(root, 'elsewhere/_default/hosts.toml'));
  });

  test('is told when the folder asked for is not the one that it reads', async () => {
    await put('etc/containerd/config.toml', configToml('/etc/containerd/certs.d'));
    const report = await configure({ configPath: '/srv/certs.d' });
    expect(report.changes[0]?.path).toBe(path.join(root, 'srv/certs.d/_default/hosts.toml'));
    expect(report.todo).toEqual([
      expect.stringContaining('containerd does not read /srv/certs.d: config_path is "/etc/containerd/certs.d"'),
    ]);
  });

  test("gets its _default where it hides no host of a later folder, and an administrator's _default is added to", async () => {
    await put('etc/containerd/config.toml', configToml('/a:/b:/c'));
    expect((await configure({ dryRun: true })).changes[0]?.path).toBe(path.join(root, 'a/_default/hosts.toml'));
    await put('b/quay.io/ca.crt', '');
    expect((await configure({ dryRun: true })).changes[0]?.path).toBe(path.join(root, 'b/_default/hosts.toml'));
    await put('a/_default/hosts.toml', 'server = "https://a"');
    expect((await configure({ dryRun: true })).changes[0]?.path).toBe(path.join(root, 'a/_default/hosts.toml'));
  });

  test('the registries that are not accelerated are told, with the reason', async () => {
    await put('etc/containerd/certs.d/quay.io/hosts.toml', 'server = "https://quay.io"');
    await put('etc/containerd/certs.d/reg.example.com:5000/ca.crt', '');
    await put('etc/containerd/certs.d/README', '');
    const { notes } = await configure();
    expect(notes).toEqual([
      expect.stringMatching(
        /^quay\.io is not accelerated, because containerd goes by \/etc\/containerd\/certs\.d\/quay\.io/,
      ),
      expect.stringMatching(/^reg\.example\.com:5000 is not accelerated/),
    ]);
  });

  test("an administrator's own mirrors in _default are kept, and the change of order is told", async () => {
    await put(hostsToml, '[host."https://proxy.example.com"]\n');
    expect((await configure()).notes).toEqual([
      expect.stringContaining('already sends containerd to https://proxy.example.com'),
    ]);
  });

  describe('is not touched, and the reason is told, when', () => {
    async function refusal(): Promise<string> {
      return configure().then(() => 'no refusal', String);
    }

    test('its hosts.toml is broken', async () => {
      await put(hostsToml, 'server = \n');
      expect(await refusal()).toContain('containerd ignores the whole file, silently');
      expect(await read(hostsToml)).toBe('server = \n');
    });

    test('its hosts.toml is a link', async () => {
      await put('elsewhere', '');
      await put(hostsToml, '');
      await rm(path.join(root, hostsToml));
      await symlink(path.join(root, 'elsewhere'), path.join(root, hostsToml));
      expect(await refusal()).toContain('is a symbolic link');
      expect(await read('elsewhere')).toBe('');
    });

    test('its hosts.toml is no text', async () => {
      await put(hostsToml, '');
      await writeFile(path.join(root, hostsToml), Buffer.from([0x23, 0xff]));
      expect(await refusal()).toContain('is not UTF-8 text');
    });

    test('its hosts.toml is far too large', async () => {
      await put(hostsToml, `# ${'x'.repeat(1024 * 1024)}`);
      expect(await refusal()).toContain('is larger than 1048576 bytes');
    });

    test('its config.toml is broken', async () => {
      await put('etc/containerd/config.toml', 'version = = 2');
      expect(await refusal()).toContain('/etc/containerd/config.toml:1:');
    });
  });
});

describe.each(['crio', 'podman'] as const)('%s', (runtime) => {
  test('gets a drop-in with a mirror for each registry, readable for all, and loses it again', async () => {
    await configure({ runtime, registries: ['docker.io', 'reg.example.com:5000'] });
    expect(await modeOf(dropIn)).toBe(0o644);
    expect(await read(dropIn)).toContain('location = "127.0.0.1:65002/reg.example.com_5000"\ninsecure = true');
    expect((await configure({ runtime, registries: ['docker.io', 'reg.example.com:5000'] })).changes).toEqual([]);
    await configure({ runtime, undo: true });
    expect(await readdir(path.dirname(path.join(root, dropIn)))).toEqual([]);
    expect((await configure({ runtime, undo: true })).notes[0]).toContain('nothing to undo');
  });

  test('makes no secret: its configuration has no place for one', async () => {
    await configure({ runtime });
    expect(await readLoopbackSecret(path.join(root, config.stateDir))).toBeUndefined();
  });
});

describe('registries.conf', () => {
  test('names the common registries, unless the configuration includes others by name', async () => {
    expect((await configure({ runtime: 'podman' })).notes).toEqual([expect.stringContaining('docker.io, quay.io')]);
    await configure({ runtime: 'podman' }, ['registries.include=a.example/*,b.example:5000/team/*,*.example/*']);
    expect((await read(dropIn)).match(/^prefix = .*/gm)).toEqual(['prefix = "a.example"', 'prefix = "b.example:5000"']);
  });

  test('leaves a registry that speaks http a registry that speaks http', async () => {
    await configure({ runtime: 'podman', registries: ['a.example'] }, [
      'registries.hosts={"a.example": {plainHttp: true}}',
    ]);
    expect(await read(dropIn)).toContain('location = "a.example"\ninsecure = true\n[[registry.mirror]]');
  });

  test("an administrator's [[registry]] is never replaced, and that is told", async () => {
    await put('etc/containers/registries.conf', '[[registry]]\nlocation = "docker.io"\n');
    await put('etc/containers/registries.conf.d/x.conf', '[[registry]]\nprefix = "quay.io/team"\nlocation = "b"\n');
    const { notes } = await configure({ runtime: 'crio', registries: ['docker.io', 'quay.io'] });
    expect(await read(dropIn)).not.toContain('"docker.io"');
    expect(notes).toEqual([
      expect.stringContaining('docker.io is not accelerated, because /etc/containers/registries.conf has'),
      expect.stringContaining('quay.io/team is not accelerated'),
      expect.stringContaining('accelerated: quay.io'),
    ]);
  });

  test.each([
    ['*.aliyuncs.com', 'Name each registry'],
    ['https://docker.io', 'host or host:port'],
    ['docker.io/library', 'host or host:port'],
    ['Registry.example.com', 'small letters'],
    ['library', 'host or host:port'],
    ['a.example"\ninsecure = true', 'host or host:port'],
  ])('--registry %s is refused with the reason', async (host, message) => {
    await expect(configure({ runtime: 'crio', registries: [host] })).rejects.toThrow(message);
  });

  test("a drop-in of that name that Shoal didn't write stays", async () => {
    await put(dropIn, '# mine');
    await expect(configure({ runtime: 'podman' })).rejects.toThrow('was not written by Shoal');
    await expect(configure({ runtime: 'podman', undo: true })).rejects.toThrow('was not written by Shoal');
    expect(await read(dropIn)).toBe('# mine');
  });

  test('the old format is refused: drop-ins would break it', async () => {
    await put('etc/containers/registries.conf', "[registries.search]\nregistries = ['docker.io']\n");
    await expect(configure({ runtime: 'podman' })).rejects.toThrow("first version's format");
  });
});
