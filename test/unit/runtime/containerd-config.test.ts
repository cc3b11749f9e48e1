import { parse } from 'smol-toml';
import { describe, expect, test } from 'vitest';
import { configPathAdvice, registryConfigOf, registrySettings } from '../../../src/runtime/containerd-config.ts';

function settings(...texts: string[]) {
  return registrySettings(texts.map((text) => parse(text)));
}

describe("containerd's config_path", () => {
  test.each([
    ['version 1', '[plugins.cri.registry]'],
    ['version 2', '[plugins."io.containerd.grpc.v1.cri".registry]'],
    ['version 3', '[plugins."io.containerd.cri.v1.images".registry]'],
  ])('is found in the table of %s', (_, table) => {
    expect(settings(`${table}\nconfig_path = "/etc/containerd/certs.d"`).configPath).toEqual([
      '/etc/containerd/certs.d',
    ]);
  });

  test('is a list in containerd 2.2', () => {
    const text = '[plugins."io.containerd.cri.v1.images".registry]\nconfig_path = "/a:/b"';
    expect(settings(text).configPath).toEqual(['/a', '/b']);
  });

  test('of an import wins', () => {
    const table = '[plugins."io.containerd.grpc.v1.cri".registry]';
    expect(settings(`${table}\nconfig_path = "/a"`, `${table}\nconfig_path = "/b"`).configPath).toEqual(['/b']);
  });

  test.each(['', '[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = ""'])('is missing in %j', (text) => {
    expect(settings(text)).toEqual({ configPath: undefined, inlineRegistries: false });
  });
});

describe('where a containerd is at hand, its own view', () => {
  const table = (version: number): string =>
    version === 3
      ? '[plugins."io.containerd.cri.v1.images".registry]'
      : '[plugins."io.containerd.grpc.v1.cri".registry]';
  const config = (version: number, folder: string): unknown =>
    parse(`version = ${version}\n${table(version)}\nconfig_path = "${folder}"`);

  test('counts, in whichever version it is', () => {
    const sources = { main: config(2, '/file'), imports: [], dump: config(3, '/dump') };
    expect(registryConfigOf(sources)).toMatchObject({ configPath: ['/dump'], version: 2, outdated: false });
  });

  test('does not count when it is an older one than the configuration was written for', () => {
    const sources = { main: config(3, '/file'), imports: [], dump: config(2, '') };
    expect(registryConfigOf(sources)).toMatchObject({ configPath: ['/file'], version: 3 });
  });

  test.each(['version = 1\n', ''])('tells that containerd 2 passes over the tables of a file with %j', (head) => {
    const main = parse(`${head}[plugins.cri.registry]\nconfig_path = "/file"`);
    const found = registryConfigOf({ main, imports: [], dump: config(3, '') });
    expect(found).toMatchObject({ configPath: undefined, outdated: true });
    const advice = configPathAdvice('/etc/containerd/config.toml', found, '/c');
    expect(advice).toContain('put "version = 2" at its top first');
    expect(advice).toContain('[plugins."io.containerd.grpc.v1.cri".registry]');
  });
});

describe('the advice when config_path is not set', () => {
  const file = '/etc/containerd/config.toml';
  const base = {
    ...{ configPath: undefined, inlineRegistries: false, fileExists: true, tableExists: false },
    ...{ version: 2, outdated: false },
  };

  test.each([
    [1, '[plugins.cri.registry]'],
    [2, '[plugins."io.containerd.grpc.v1.cri".registry]'],
    [3, '[plugins."io.containerd.cri.v1.images".registry]'],
  ])('gives the lines of version %d, which containerd can read', (version, table) => {
    const advice = configPathAdvice(file, { ...base, version }, '/etc/containerd/certs.d');
    expect(advice).toContain(`In ${file}, add these lines:\n  ${table}\n    config_path = "/etc/containerd/certs.d"`);
    expect(advice).toContain('restart containerd, once');
    const lines = advice.split('\n').slice(1, 3).join('\n');
    expect(settings(lines).configPath).toEqual(['/etc/containerd/certs.d']);
  });

  test('names the version where there is no file: without it, containerd would pass over the table', () => {
    const found = registryConfigOf({ main: undefined, imports: [], dump: undefined });
    const advice = configPathAdvice(file, found, '/c');
    expect(advice).toContain('add these lines:\n  version = 2\n  [plugins."io.containerd.grpc.v1.cri".registry]\n');
  });

  test('does not open a table twice: TOML forbids it', () => {
    const advice = configPathAdvice(file, { ...base, tableExists: true }, '/c');
    expect(advice).toContain('put this line into the table [plugins."io.containerd.grpc.v1.cri".registry]');
  });

  test('says that registry.mirrors must move first: containerd refuses both together', () => {
    const { inlineRegistries } = settings(
      '[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]\nendpoint = ["https://a"]',
    );
    expect(inlineRegistries).toBe(true);
    expect(configPathAdvice(file, { ...base, inlineRegistries }, '/c')).toContain('/c/<host>/hosts.toml first');
  });
});
