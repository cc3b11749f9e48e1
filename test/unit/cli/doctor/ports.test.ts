import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { listeningOn, ownersOf, parseTable, stands } from '../../../../src/cli/doctor/listening.ts';
import { isShoal, judgeEphemeral, judgePort, type Occupancy, wantedPorts } from '../../../../src/cli/doctor/ports.ts';
import { resolveConfig } from '../../../../src/config/load.ts';
import { type FakeTree, fakeTree } from '../../../harness/fake-tree.ts';
import { Scope } from '../../../harness/scope.ts';

let scope: Scope;
let tree: FakeTree;
beforeEach(async () => {
  scope = new Scope();
  tree = await fakeTree(scope);
});
afterEach(() => scope.close());

const head = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';
/** 127.0.0.1:65002 (FDEA) listens, one of its connections is established, and :::65001 (FDE9) listens. */
const tcp = `${head}
   0: 0100007F:FDEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0
   1: 0100007F:FDEA 0100007F:9000 01 00000000:00000000 00:00000000 00000000     0        0 112 1 0 20 4 30 10 -1
`;
const tcp6 = `${head}
   0: 00000000000000000000000000000000:FDE9 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 113 1 0 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 114 1 0 100 0 0 10 0
`;

test('what listens is read from the tables of the kernel', () => {
  expect(parseTable(tcp)).toEqual([{ address: '127.0.0.1', port: 65002, inode: 111 }]);
  expect(parseTable(tcp6)).toEqual([
    { address: '::', port: 65001, inode: 113 },
    { address: '127.0.0.1', port: 80, inode: 114 },
  ]);
});

test('who listens is found by the sockets of the processes', async () => {
  await tree.put('proc/net/tcp', tcp);
  await tree.put('proc/net/tcp6', tcp6);
  await tree.addProcess(1, ['init'], [5, 6]);
  await tree.addProcess(42, ['/usr/sbin/nginx', '-g', 'daemon off;'], [7, 111]);
  const sockets = await listeningOn(tree.root, new Set([65002]));
  expect(await ownersOf(tree.root, sockets)).toEqual(
    new Map([[111, { pid: 42, args: ['/usr/sbin/nginx', '-g', 'daemon off;'] }]]),
  );
});

test.each([
  ['127.0.0.1', '127.0.0.1', true],
  ['127.0.0.1', 'localhost', true],
  ['10.0.0.1', '127.0.0.1', false],
  ['10.0.0.1', undefined, true],
  ['0.0.0.0', '127.0.0.1', true],
  ['::', '127.0.0.1', true],
  ['10.0.0.1', '::', true],
  ['fd00::1', 'fd00:0::1', true],
])('a socket on %s stands in the way of %s: %s', (address, wanted, expected) => {
  expect(stands(address, wanted)).toBe(expected);
});

describe('a port', () => {
  const mirror = wantedPorts(resolveConfig({ env: {} }).config).find(({ about }) => about === 'mirror') ?? never();
  const socket = { address: '127.0.0.1', port: 65002, inode: 111 };
  const judge = (occupancy: Partial<Occupancy>) =>
    judgePort(mirror, {
      sockets: [socket],
      owners: new Map(),
      running: { engine: false, supervisor: false },
      isRoot: true,
      ...occupancy,
    });
  const owned = (...args: string[]) => new Map([[111, { pid: 42, args }]]);

  test('of Shoal is right, and so is a free one while no agent runs', () => {
    expect(judge({ owners: owned('node', '/opt/shoal/0.1.0/dist/cli/main.js', 'engine', '--config-fd', '3') })).toEqual(
      {
        about: 'mirror',
        level: 'ok',
        says: "127.0.0.1, port 65002 is Shoal's (process 42)",
      },
    );
    expect(judge({ sockets: [] })).toMatchObject({ level: 'ok', says: '127.0.0.1, port 65002 is free' });
  });

  test('of another process is a problem that names it and the key', () => {
    expect(judge({ owners: owned('/usr/sbin/nginx', '-g', 'daemon off;') })).toEqual({
      about: 'mirror',
      level: 'problem',
      says: '127.0.0.1, port 65002 is taken by process 42, /usr/sbin/nginx -g daemon off; (127.0.0.1:65002)',
      mend: 'stop that process, or set mirror.port to another port and run shoal runtime configure',
    });
  });

  test('that is free while the engine runs is a problem', () => {
    expect(judge({ sockets: [], running: { engine: true, supervisor: true } })).toMatchObject({ level: 'problem' });
  });

  test('whose owner is hidden needs root, or is told as taken', () => {
    expect(judge({ owners: 'refused', isRoot: false })).toMatchObject({
      level: 'skipped',
      says: expect.stringMatching(/^needs root/),
    });
    expect(judge({ owners: new Map() })).toMatchObject({
      level: 'problem',
      says: expect.stringContaining('not to be seen'),
    });
    expect(judge({ owners: new Map(), running: { engine: true, supervisor: true } })).toMatchObject({ level: 'ok' });
  });

  function never(): never {
    throw new Error('the mirror has no port');
  }
});

test('which ports are wanted follows the configuration', () => {
  const wanted = (...set: string[]) => wantedPorts(resolveConfig({ env: {}, set }).config);
  expect(wanted('telemetry.port=0')).toMatchObject([
    { why: expect.stringContaining('no swarm') },
    {},
    { why: expect.any(String) },
  ]);
  const swarm = ['p2p.membership.source=static', 'p2p.membership.agents=10.0.0.1:65001'];
  expect(wanted(...swarm)[0]).toMatchObject({ port: 65001, host: '127.0.0.1' });
  expect(wanted(...swarm, 'p2p.tls=off')[0]?.host).toBeUndefined();
});

test.each([
  [['/opt/shoal/current/bin/shoal', 'agent'], true],
  [['/opt/shoal/0.1.0/bin/node', '/opt/shoal/0.1.0/dist/main.js', 'agent'], true],
  [['node', '/srv/web/dist/main.js', 'agent'], false],
  [['node', '/x/src/cli/main.ts', 'engine'], true],
  [['node', 'dist/cli/main.js', 'doctor'], false],
  [['/usr/bin/python3', '/srv/shoal.py', 'agent'], false],
])('%s is an agent: %s', (args, expected) => {
  expect(isShoal(args)).toBe(expected);
});

test('ports that outgoing connections may be given are a warning, unless they are reserved', () => {
  expect(judgeEphemeral('32768\t60999\n', '\n', [65001, 65002])).toEqual([]);
  expect(judgeEphemeral('1024\t65535\n', '', [65001])).toMatchObject([{ level: 'warning' }]);
  expect(judgeEphemeral('1024\t65535\n', '8080,65000-65003\n', [65001, 65002])).toEqual([]);
  expect(judgeEphemeral('1024\t65535\n', '8080\n', [65001])[0]?.mend).toContain('ip_local_reserved_ports=8080,65001;');
});
