import { readdir } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { containerdConfigOf } from '../../../../src/cli/doctor/containerd-process.ts';
import { contextOf } from '../../../../src/cli/doctor/doctor.ts';
import { judgeEngine } from '../../../../src/cli/doctor/engine.ts';
import { configureCommand, judgeConfiguration, runtimeCheck, runtimeOf } from '../../../../src/cli/doctor/runtime.ts';
import { judgeProbe } from '../../../../src/cli/doctor/sockets.ts';
import type { RunningAgent } from '../../../../src/cli/doctor/types.ts';
import { resolveConfig } from '../../../../src/config/load.ts';
import { configureRuntime } from '../../../../src/runtime/configure.ts';
import { type FakeTree, fakeTree } from '../../../harness/fake-tree.ts';
import { Scope } from '../../../harness/scope.ts';

const installed = { runDir: '/run/shoal', version: '1.0.0', now: 1_000_000 };

describe('the engine', () => {
  const engine = (conditions: object[] = []) =>
    ({ process: { pid: 7, startedAt: 940 }, conditions, acr: [] }) as unknown as NonNullable<RunningAgent['engine']>;
  const status = (more: object = {}) =>
    ({ version: '1.0.0', conditions: [], ...more }) as unknown as NonNullable<RunningAgent['status']>;
  const judge = (agent: Partial<RunningAgent>) => judgeEngine({ hidden: false, peers: [], ...agent }, installed);

  test('that runs is right', () => {
    expect(judge({ engine: engine([{ name: 'disk', state: 'ok' }]), status: status() })).toEqual([
      { about: 'engine', level: 'ok', says: 'up 1 min 0 s' },
    ]);
  });

  test('tells what is degraded, with the mend', () => {
    const conditions = [
      { name: 'disk', state: 'degraded', since: '2026-01-01T00:00:00Z', reason: 'the disk cache is out of use: EIO' },
      {
        name: 'certificate',
        state: 'degraded',
        since: '2026-01-01T00:00:00Z',
        reason: 'it has ended. Issue another one',
      },
      { name: 'directory', state: 'failed', since: '2026-01-01T00:00:00Z' },
    ];
    expect(judge({ engine: engine(conditions), status: status() }).slice(1)).toMatchObject([
      { about: 'disk', level: 'warning', mend: expect.stringContaining('see disk below') },
      { about: 'certificate', says: 'it has ended (since 2026-01-01T00:00:00Z)', mend: 'Issue another one' },
      { about: 'directory', level: 'problem' },
    ]);
  });

  test('that was restarted, or is of another version than this command, is a warning', () => {
    const supervisor = { engine: { restarts: 3, lastEnd: 'signal SIGSEGV' } };
    expect(judge({ engine: engine(), status: status({ version: '0.9.0', supervisor }) }).slice(1)).toMatchObject([
      { about: 'engine restarts', level: 'warning', says: expect.stringContaining('signal SIGSEGV') },
      { about: 'version', level: 'warning', mend: 'systemctl restart shoal' },
    ]);
  });

  test('that does not run is a problem, in the words of the supervisor where there is one', () => {
    expect(judge({ failure: 'no agent answers in /run/shoal (runDir). Is it running?' })).toMatchObject([
      { level: 'problem', says: 'pulls are not accelerated: no agent answers in /run/shoal (runDir)' },
    ]);
    const conditions = [{ name: 'engine', state: 'failed', reason: 'engine restarting since 12:00' }];
    expect(judge({ failure: 'x', status: status({ conditions }) })).toMatchObject([
      { level: 'problem', says: 'pulls are not accelerated: engine restarting since 12:00' },
    ]);
  });

  test('whose socket is not for this user needs root', () => {
    expect(judge({ hidden: true })).toMatchObject([{ level: 'skipped', says: expect.stringMatching(/^needs root/) }]);
  });
});

test.each([
  [{ milliseconds: 5 }, 'ok', undefined],
  [{ milliseconds: 5_000 }, 'warning', 'silent'],
  [{ milliseconds: 1, code: 'ENOENT', reason: 'x' }, 'problem', 'absent'],
  [{ milliseconds: 1, code: 'ECONNREFUSED', reason: 'x' }, 'problem', 'refused'],
  [{ milliseconds: 8_000, reason: 'no answer within 8000 ms' }, 'problem', 'silent'],
])('a socket probed with %j is %s', (probed, level, mend) => {
  const mends = { absent: 'absent', refused: 'refused', silent: 'silent' };
  const finding = judgeProbe('socket', { socket: '/run/x.sock', ...probed }, mends);
  expect([finding.level, finding.mend]).toEqual([level, mend]);
});

describe('the runtime', () => {
  test.each([
    ['unix:///run/containerd/containerd.sock', false, 'shoal runtime configure --runtime containerd'],
    ['unix:///var/run/crio/crio.sock', false, 'shoal runtime configure --runtime crio'],
    [
      'unix:///run/k3s/containerd/containerd.sock',
      true,
      'shoal runtime configure --runtime containerd --containerd-config /var/lib/rancher/rke2/agent/etc/containerd/config.toml --config-path /var/lib/rancher/rke2/agent/etc/containerd/certs.d',
    ],
  ])('at %s is configured by its command', (endpoint, rke2, command) => {
    expect(configureCommand(runtimeOf(endpoint, rke2), [])).toBe(command);
  });

  test('a task that is left has its mend apart, and a reload of what was not written is none', () => {
    const todo = [
      'containerd does not read /c: config_path is not set in /f. In /f, add these lines:\n  x',
      'systemctl reload crio',
    ];
    const about = { name: 'containerd', command: 'configure', root: '/', port: 65002 };
    expect(judgeConfiguration({ changes: [], notes: [], todo }, about)).toEqual([
      {
        about: 'config_path',
        level: 'problem',
        says: 'containerd does not read /c: config_path is not set in /f',
        mend: 'in /f, add these lines:\n  x',
      },
    ]);
  });

  let scope: Scope;
  let tree: FakeTree;
  beforeEach(async () => {
    scope = new Scope();
    tree = await fakeTree(scope);
  });
  afterEach(() => scope.close());

  const check = (...set: string[]) =>
    runtimeCheck.run(
      contextOf({
        config: resolveConfig({ env: {}, set }).config,
        root: tree.root,
        isRoot: true,
        registries: [],
        environment: {},
        agent: { hidden: false, peers: [] },
        now: Date.now,
      }),
      new AbortController().signal,
    );
  const configure = (runtime: 'containerd' | 'crio', registries: string[] = []) =>
    configureRuntime(resolveConfig({ env: {} }).config, {
      runtime,
      undo: false,
      dryRun: false,
      root: tree.root,
      containerdConfig: '/etc/containerd/config.toml',
      registries,
    });
  const levels = async (...set: string[]) => (await check(...set)).map(({ about, level }) => `${about} ${level}`);
  const readsHosts = '[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/etc/containerd/certs.d"\n';

  test('that was never configured is a problem, and the check changes nothing', async () => {
    const before = await readdir(tree.root, { recursive: true });
    expect(await levels()).toEqual(['loopback secret problem', 'configuration problem', 'config_path problem']);
    expect(await readdir(tree.root, { recursive: true })).toEqual(before);
  });

  test('a containerd that runs says which configuration it reads', async () => {
    await tree.put('srv/a.toml', 'version = 2\n[grpc]\naddress = "/srv/a.sock"\n');
    await tree.addProcess(4, ['/usr/bin/containerd', '--config', '/srv/a.toml']);
    await tree.addProcess(5, ['containerd', '-c', '/srv/b.toml', '-a', '/srv/b.sock']);
    await tree.addProcess(6, ['/usr/bin/containerd']);
    const found = (socket: string) => containerdConfigOf(tree.root, socket);
    expect(await found('unix:///srv/a.sock')).toBe('/srv/a.toml');
    expect(await found('/srv/b.sock')).toBe('/srv/b.toml');
    expect(await found('unix:///run/containerd/containerd.sock')).toBe('/etc/containerd/config.toml');
    expect(await found('/srv/c.sock')).toBeUndefined();
    const endpoint = 'runtimeEndpoint=unix:///srv/b.sock';
    expect((await check(endpoint))[1]?.mend).toContain('--containerd-config /srv/b.toml');
  });

  test('that was configured is right until the port is another one', async () => {
    await tree.put('etc/containerd/config.toml', `version = 2\n${readsHosts}`);
    await configure('containerd');
    expect(await levels()).toEqual(['loopback secret ok', 'configuration ok']);
    expect(await levels('mirror.port=1234')).toEqual(['loopback secret ok', 'configuration problem']);
  });

  test('a registry with a folder of its own is left out, unless it names the mirror', async () => {
    await tree.put('etc/containerd/config.toml', `version = 2\n${readsHosts}`);
    await configure('containerd');
    await tree.put('etc/containerd/certs.d/a.example/hosts.toml', 'server = "https://a.example"\n');
    await tree.put('etc/containerd/certs.d/b.example/hosts.toml', '[host."http://127.0.0.1:65002"]\n');
    const findings = await check();
    expect(findings.slice(2)).toMatchObject([
      { about: 'left out', level: 'warning', says: expect.stringMatching(/^a\.example/) },
    ]);
  });

  test('CRI-O keeps the registries that were named when it was configured', async () => {
    await configure('crio', ['reg.example:5000']);
    const crio = 'runtimeEndpoint=unix:///var/run/crio/crio.sock';
    const findings = await check(crio);
    expect(findings.map(({ about, level }) => `${about} ${level}`)).toEqual([
      'loopback secret problem',
      'configuration ok',
      'accelerated ok',
    ]);
    expect(findings[2]?.says).toContain('reg.example:5000');
  });
});
