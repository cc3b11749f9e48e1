import { once } from 'node:events';
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer as createHttp } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { PeerView } from '../../src/agent/observation.ts';
import { certificatesCheck } from '../../src/cli/doctor/certificates.ts';
import { clockCheck } from '../../src/cli/doctor/clock.ts';
import { contextOf } from '../../src/cli/doctor/doctor.ts';
import { peersCheck } from '../../src/cli/doctor/peers.ts';
import { registriesCheck } from '../../src/cli/doctor/registries.ts';
import type { Check, DoctorContext, Finding } from '../../src/cli/doctor/types.ts';
import { resolveConfig } from '../../src/config/load.ts';
import { issueCertificate } from '../../src/swarm/tls/authority.ts';
import type { CertificateFiles } from '../../src/swarm/tls/certificates.ts';
import type { TransferSecurity } from '../../src/swarm/transfer/listen-address.ts';
import { type Agent, configureRuntime, startAgent } from '../harness/agent.ts';
import { createAuthority } from '../harness/certificates.ts';
import { startContainerd } from '../harness/containerd.ts';
import { DirectoryNodes } from '../harness/directory-nodes.ts';
import { entry } from '../harness/entry.ts';
import { freePort } from '../harness/ports.ts';
import { runAnyway } from '../harness/process.ts';
import { startRegistry } from '../harness/registry.ts';
import { loopbackAddresses, memberOf, type Plan, type Role, startRole } from '../harness/roles.ts';
import { Scope } from '../harness/scope.ts';
import { SwarmAuthority } from '../harness/swarm-certificates.ts';
import { temporaryFolder } from '../harness/temp.ts';

const MiB = 1024 * 1024;
let scope: Scope;
beforeEach(() => {
  scope = new Scope();
});
afterEach(() => scope.close());

interface Report {
  readonly problem: number;
  readonly groups: readonly { readonly group: string; readonly findings: readonly Finding[] }[];
}

/** `agent: image socket` and the like, of one level. */
function named({ groups }: Report, level: Finding['level']): string[] {
  return groups.flatMap(({ group, findings }) =>
    findings.filter((each) => each.level === level).map(({ about }) => `${group}: ${about}`),
  );
}

/** A server that listens, gone with the scope. */
async function listening(server: ReturnType<typeof createServer | typeof createHttp>): Promise<number> {
  const sockets = new Set<{ destroy(): void }>();
  server.on('connection', (socket) => sockets.add(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.defer(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const findingsOf = (
  check: Check,
  set: readonly string[],
  more: Partial<DoctorContext> = {},
): Promise<readonly Finding[]> =>
  check.run(
    contextOf({
      config: resolveConfig({ env: {}, set }).config,
      root: '/',
      isRoot: true,
      registries: [],
      environment: {},
      agent: { hidden: false, peers: [] },
      now: Date.now,
      ...more,
    }),
    AbortSignal.timeout(20_000),
  );

describe('shoal doctor', () => {
  test('has nothing to say against a node in order: containerd, agent, registry', { timeout: 120_000 }, async () => {
    const registry = await startRegistry({ auth: { htpasswd: { someone: 'secret' } } });
    scope.defer(registry.stop);
    const containerd = await startContainerd(scope);
    const agent = await startAgent(scope, {
      runtimeSocket: containerd.socket,
      diskTier: 64 * MiB,
      memoryTier: 32 * MiB,
    });
    await configureRuntime(agent, containerd);
    const before = await readdir(agent.stateDir, { recursive: true });
    const { code, stdout, stderr } = await agent.shoal('doctor', '--registry', registry.host, '--output', 'json');
    const report: Report = JSON.parse(stdout);
    expect([stderr, named(report, 'problem')]).toEqual(['', []]);
    expect(code).toBe(0);
    expect(named(report, 'ok')).toEqual(
      expect.arrayContaining([
        'agent: image socket',
        'agent: engine',
        'runtime: runtime socket',
        'runtime: loopback secret',
        'runtime: configuration',
        'disk: cache directory',
        'memory: memory tier',
        'ports: mirror',
        'ports: telemetry',
        'clock: clock',
        `registries: ${registry.host}`,
      ]),
    );
    expect(await readdir(agent.stateDir, { recursive: true })).toEqual(before);

    // The runtime goes: it is the runtime that is told, and Shoal's socket with it.
    await containerd.kill();
    const after = await agent.shoal('doctor', '--registry', registry.host);
    expect(after.code).toBe(1);
    expect(after.stdout).toMatch(/PROBLEM {2}image socket .*: the\s+container\s+runtime/);
    expect(after.stdout).toContain(`PROBLEM  runtime socket   ${containerd.socket}: nobody listens`);
    expect(after.stdout).toMatch(/\n\d+ problems, /);
    expect(after.stdout).not.toContain('\x1b');
  });

  test('names who has taken the port of an agent that does not run', async () => {
    const port = await listening(createServer());
    const runDir = await temporaryFolder(scope, 'run');
    const set = [
      `mirror.port=${port}`,
      'telemetry.port=0',
      `runDir=${runDir}`,
      `stateDir=${runDir}`,
      `listen=${runDir}/s`,
    ];
    const { code, stdout } = await runAnyway([
      process.execPath,
      ...[entry, 'doctor', '--registry', '127.0.0.1:1', '--output', 'json'],
      ...set.flatMap((each) => ['--set', each]),
    ]);
    const report: Report = JSON.parse(stdout);
    expect(code).toBe(1);
    expect(named(report, 'problem')).toEqual(
      expect.arrayContaining(['agent: image socket', 'agent: engine', 'ports: mirror']),
    );
    const mirror = report.groups.flatMap(({ findings }) => findings).find(({ about }) => about === 'mirror');
    expect(mirror?.says).toContain(`is taken by process ${process.pid}, `);
  });

  test('takes a wrong registry for a mistake in the command line, and a wrong configuration for one in that', async () => {
    expect(await runAnyway([process.execPath, entry, 'doctor', '--registry', 'a/b'])).toMatchObject({
      code: 64,
      stdout: '',
    });
    expect(await runAnyway([process.execPath, entry, 'doctor', '--set', 'mirror.port=x'])).toMatchObject({
      code: 78,
      stdout: '',
    });
  });

  test('ends although a thread of the pool hangs', async () => {
    const folder = await temporaryFolder(scope, 'fifo');
    const script = `
      import { execFileSync } from 'node:child_process';
      import { readFile, stat } from 'node:fs/promises';
      import { leaveUnlessIdle } from ${JSON.stringify(path.resolve(import.meta.dirname, '../../src/cli/doctor/leave.ts'))};
      execFileSync('mkfifo', ['${folder}/fifo']);
      readFile('${folder}/fifo').catch(() => {});
      // The pool takes its work in order: once this is done, a thread hangs in the other.
      await stat('/');
      process.stdout.write('told');
      leaveUnlessIdle(3);
    `;
    expect(await runAnyway([process.execPath, '--input-type=module', '--eval', script])).toMatchObject({
      code: 3,
      stdout: 'told',
      stderr: '',
    });
  });
});

describe('registries', () => {
  const asked = (registries: string[], set: string[] = [], environment: DoctorContext['environment'] = {}) =>
    findingsOf(registriesCheck, set, { registries, environment });

  test('whose CA is a private one are trusted when it is named', async () => {
    const ca = await createAuthority(scope);
    const tls = await ca.issue('localhost', ['IP:127.0.0.1']);
    const { stop, host } = await startRegistry({ tls });
    scope.defer(stop);
    const distrusted = await asked([host], [`registries.hosts={"${host}":{"plainHttp":false}}`]);
    expect(distrusted).toMatchObject([{ about: host, level: 'problem', says: expect.stringContaining('no trust in') }]);
    expect(distrusted[0]?.mend).toContain('caFile');
    const hosts = { [host]: { plainHttp: false, caFile: ca.certificateFile } };
    expect(await asked([host], [`registries.hosts=${JSON.stringify(hosts)}`])).toMatchObject([
      { about: host, level: 'ok' },
    ]);
  });

  test('that are out of order, or whose token server is, are problems', async () => {
    const closed = await freePort();
    const broken = await listening(createHttp((_, answer) => answer.writeHead(503).end('later')));
    const lost = await listening(
      createHttp((_, answer) =>
        answer
          .writeHead(401, { 'www-authenticate': `Bearer realm="http://127.0.0.1:${closed}/token",service="x"` })
          .end(),
      ),
    );
    const findings = await asked([`127.0.0.1:${broken}`, `127.0.0.1:${lost}`, `127.0.0.1:${closed}`]);
    expect(findings).toMatchObject([
      { about: `127.0.0.1:${broken}`, level: 'problem', says: expect.stringContaining('503') },
      { about: `127.0.0.1:${lost}`, level: 'ok' },
      {
        about: `127.0.0.1:${lost}'s tokens`,
        level: 'problem',
        says: expect.stringContaining(`127.0.0.1:${closed}/token`),
      },
      { about: `127.0.0.1:${closed}`, level: 'problem', says: expect.stringContaining('ECONNREFUSED') },
    ]);
  });

  test('whose CA file is none are not asked, as the agent would not start', async () => {
    const findings = await asked(['reg.example'], ['registries.hosts={"reg.example":{"caFile":"/nowhere/ca.pem"}}']);
    expect(findings).toMatchObject([{ level: 'problem', says: expect.stringContaining('/nowhere/ca.pem') }]);
  });

  test('behind a proxy that does not let us through are told as that', async () => {
    const refusing = await listening(
      createHttp().on('connect', (_, socket) => socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')),
    );
    for (const port of [refusing, await freePort()]) {
      const [finding] = await asked(['reg.example'], [], { HTTPS_PROXY: `http://user:secret@127.0.0.1:${port}` });
      expect(finding).toMatchObject({
        about: 'reg.example',
        level: 'problem',
        says: expect.stringContaining('the proxy'),
      });
      expect(finding?.says).toContain(`127.0.0.1:${port}`);
      expect(JSON.stringify(finding)).not.toContain('secret');
    }
  });
});

describe('certificates', () => {
  const swarm = ['p2p.membership.source=static', 'p2p.membership.agents=["10.0.0.1:65001"]', 'p2p.id=node-1'];
  const checked = ({ ca, certificate, key }: CertificateFiles) =>
    findingsOf(certificatesCheck, [
      ...swarm,
      `p2p.certificates.caFile=${ca}`,
      `p2p.certificates.certFile=${certificate}`,
      `p2p.certificates.keyFile=${key}`,
    ]);
  const levels = (findings: readonly Finding[]) => findings.map(({ about, level }) => `${about} ${level}`);

  test('of shoal certs are right while they last', async () => {
    const authority = await SwarmAuthority.create(scope);
    const files = await authority.issueFiles('node-1');
    // The harness' certificates last a day.
    expect(levels(await checked(files))).toEqual(['certificate ok', 'validity warning', 'usage ok', 'name ok']);
    await chmod(files.key, 0o644);
    expect(levels(await checked(files))).toContain('key warning');
  });

  test('that have ended are told, with the command that makes another one', async () => {
    const authority = await SwarmAuthority.create(scope);
    const { ca } = await authority.issueFiles('node-0');
    const output = await temporaryFolder(scope, 'old');
    const now = new Date(Date.now() - 3 * 24 * 3600 * 1000);
    const old = await issueCertificate({
      directory: path.dirname(ca),
      output,
      name: 'node-1',
      addresses: [],
      days: 1,
      now,
    });
    const findings = await checked({ ca, certificate: old.certificate, key: old.key });
    expect(levels(findings)).toEqual(['certificate problem', 'validity problem', 'usage ok', 'name ok']);
    expect(findings[1]?.mend).toContain('shoal certs issue');
  });

  test('of another authority, with another key, not there, for servers alone, for another node', async () => {
    const authority = await SwarmAuthority.create(scope);
    const files = await authority.issueFiles('node-1');
    const other = await (await SwarmAuthority.create(scope)).issueFiles('node-1');
    expect((await checked({ ...files, ca: other.ca }))[0]).toMatchObject({
      level: 'problem',
      says: expect.stringContaining('not issued by'),
    });
    expect((await checked({ ...files, key: other.key }))[0]).toMatchObject({
      level: 'problem',
      says: expect.stringContaining('not the key'),
    });
    expect(levels(await checked({ ...files, certificate: '/nowhere/x.crt' }))).toEqual(['certificate problem']);
    expect(levels(await checked(await authority.issueFiles('node-9')))).toContain('name warning');
    const openssl = await createAuthority(scope);
    const server = await openssl.issue('node-1', ['DNS:node-1'], ['extendedKeyUsage=serverAuth']);
    const pair = { ca: openssl.certificateFile, certificate: server.certificateFile, key: server.keyFile };
    expect(levels(await checked(pair))).toEqual(expect.arrayContaining(['certificate ok', 'usage problem', 'name ok']));
    const any = await openssl.issue('node-2', ['DNS:node-1']);
    expect(levels(await checked({ ...pair, certificate: any.certificateFile, key: any.keyFile }))).toContain(
      'usage ok',
    );
  });
});

describe('other nodes', () => {
  /** The address of a node's port. */
  async function portOf(security: TransferSecurity): Promise<string> {
    const [node] = await new DirectoryNodes(scope).start(['node'], { links: false, security });
    return node?.member.address ?? '';
  }

  test('are told by how they fail: refused, silent, of another authority, without TLS', {
    timeout: 60_000,
  }, async () => {
    const authority = await SwarmAuthority.create(scope);
    const own = await authority.issueFiles('node-0');
    const certificates = await authority.issue('node-1');
    const good = await portOf({ kind: 'tls', certificates });
    const strangers = await SwarmAuthority.create(scope);
    const foreign = await portOf({ kind: 'tls', certificates: await strangers.issue('node-2') });
    const misnamed = await portOf({ kind: 'tls', certificates: await authority.issue('node-3', ['10.9.9.9']) });
    const plain = await portOf({ kind: 'loopback' });
    const silent = `127.0.0.1:${await listening(createServer())}`;
    const closed = `127.0.0.1:${await freePort()}`;
    const agents = [good, foreign, misnamed, plain, silent, closed];
    const findings = await findingsOf(peersCheck, [
      'p2p.membership.source=static',
      `p2p.membership.agents=${JSON.stringify(agents)}`,
      'p2p.id=node-0',
      `p2p.certificates.caFile=${own.ca}`,
      `p2p.certificates.certFile=${own.certificate}`,
      `p2p.certificates.keyFile=${own.key}`,
    ]);
    expect(findings.map(({ level, says }) => [level, says.replace(/ \(.*\)/, '')])).toEqual([
      ['ok', '1 of 6 answer with TLS'],
      ['warning', `1 of 6 have a certificate that this node does not trust: ${foreign}`],
      ['warning', `1 of 6 have a certificate with another name: ${misnamed}`],
      ['warning', `1 of 6 speak no TLS there, or close the connection at once: ${plain}`],
      ['warning', `1 of 6 do not answer within 5 s: ${silent}`],
      ['warning', `1 of 6 refuse the connection: no agent listens there: ${closed}`],
    ]);
  });

  test('that refuse the certificate of this node are told as that', async () => {
    const authority = await SwarmAuthority.create(scope);
    const certificates = await authority.issue('node-1');
    const address = await portOf({ kind: 'tls', certificates });
    const strangers = await SwarmAuthority.create(scope);
    const own = await strangers.issueFiles('node-0');
    // It trusts them, they don't trust it.
    const { ca } = await authority.issueFiles('node-0');
    const bundle = path.join(await temporaryFolder(scope, 'bundle'), 'ca.crt');
    await writeFile(bundle, `${await readFile(ca, 'utf8')}${await readFile(own.ca, 'utf8')}`);
    const findings = await findingsOf(peersCheck, [
      'p2p.membership.source=static',
      `p2p.membership.agents=["${address}"]`,
      'p2p.id=node-0',
      `p2p.certificates.caFile=${bundle}`,
      `p2p.certificates.certFile=${own.certificate}`,
      `p2p.certificates.keyFile=${own.key}`,
    ]);
    expect(findings).toMatchObject([
      { level: 'problem', says: expect.stringContaining("refuse this node's certificate") },
    ]);
  });

  test('of an agent that runs are those of its membership', { timeout: 60_000 }, async () => {
    const port = await freePort();
    const closed = await freePort();
    const membership = { source: 'static', agents: [`127.0.0.1:${port}`, `127.0.0.1:${closed}`] };
    const agent = await startAgent(scope, {
      memoryTier: 32 * MiB,
      p2p: { membership, port, tls: 'off', host: '127.0.0.1' },
    });
    const { stdout } = await agent.shoal('doctor', '--registry', '127.0.0.1:1', '--output', 'json');
    const report: Report = JSON.parse(stdout);
    expect(named(report, 'ok')).toContain('ports: peers');
    const [peers] = report.groups.filter(({ group }) => group === 'peers');
    expect(peers?.findings).toMatchObject([
      { level: 'problem', says: `1 of 1 refuse the connection: no agent listens there: 127.0.0.1:${closed}` },
    ]);
  });

  test('tell what time it is there, where no registry does', async () => {
    const address = await portOf({ kind: 'loopback' });
    const swarm = ['p2p.membership.source=static', `p2p.membership.agents=["${address}"]`, 'p2p.id=node-0'];
    const registries = [`127.0.0.1:${await freePort()}`];
    const clock = (aheadMs: number) => findingsOf(clockCheck, swarm, { registries, now: () => Date.now() + aheadMs });
    expect(await clock(0)).toMatchObject([{ level: 'ok', says: expect.stringContaining(`agrees with ${address}`) }]);
    expect(await clock(-120_000)).toMatchObject([{ level: 'warning', says: expect.stringContaining('behind') }]);
    expect(await clock(3_600_000)).toMatchObject([{ level: 'problem', says: expect.stringContaining('ahead of') }]);
  });
});

describe('registries through a mirror', () => {
  /** An agent without a way out, and the mirror that it has; `hosts`: what that lets through besides port 443. */
  async function plan(hosts: readonly string[]): Promise<{ agent: Agent; mirror: Role }> {
    const [address = '', mirrorAddress = ''] = await loopbackAddresses(2);
    const swarm: Plan = { mirrors: [mirrorAddress], agents: [address], pattern: 'p2p' };
    const sections = { registries: { hosts: Object.fromEntries(hosts.map((host) => [host, {}])) } };
    const mirror = await startRole(scope, 'mirror', mirrorAddress, swarm, { sections });
    const p2p = memberOf(address, swarm);
    const agent = await startAgent(scope, {
      memoryTier: 32 * MiB,
      p2p: { ...p2p, plusMode: { ...p2p.plusMode, registryAccess: 'mirror' } },
    });
    await linked(agent);
    return { agent, mirror };
  }

  /** The agent knows its mirror, and can reach it. */
  async function linked(agent: Agent): Promise<void> {
    const reachable = async () => {
      const members = (await (await fetch(`${agent.telemetryUrl}/api/peers`)).json()) as PeerView[];
      return members.some(({ role, state }) => role === 'mirror' && state === 'reachable');
    };
    await agent.process.until(reachable, { what: 'a mirror that is reached' });
  }

  async function examined(agent: Agent, registry: string, ...set: string[]): Promise<readonly Finding[]> {
    const options = set.flatMap((each) => ['--set', each]);
    const { stdout } = await agent.shoal('doctor', '--registry', registry, '--output', 'json', ...options);
    const report: Report = JSON.parse(stdout);
    return report.groups
      .filter(({ group }) => ['registries', 'clock'].includes(group))
      .flatMap((each) => each.findings);
  }

  test('are asked by the way that the agent goes', { timeout: 60_000 }, async () => {
    const registry = await startRegistry();
    scope.defer(registry.stop);
    const { agent, mirror } = await plan([registry.host]);
    const way = `by mirror ${mirror.address}`;
    expect(await examined(agent, registry.host)).toMatchObject([
      { about: 'clock', level: 'ok' },
      { about: registry.host, level: 'ok', says: expect.stringContaining(way) },
    ]);

    // Without the agent the mirror is known from the configuration.
    await agent.stop();
    expect(await examined(agent, registry.host)).toMatchObject([
      { level: 'ok' },
      { level: 'ok', says: expect.stringContaining(way) },
    ]);

    await registry.stop();
    expect((await examined(agent, registry.host))[1]).toMatchObject({
      level: 'problem',
      says: expect.stringContaining('the mirror does not let us through'),
      mend: expect.stringContaining(`on the mirror ${mirror.address}: shoal doctor --registry ${registry.host}`),
    });

    mirror.process.kill('SIGKILL');
    await mirror.process.exited;
    expect((await examined(agent, registry.host))[1]).toMatchObject({
      level: 'problem',
      says: expect.stringContaining('ECONNREFUSED'),
      mend: expect.stringContaining('shoal peers'),
    });
    expect((await examined(agent, registry.host, 'p2p.membership.mirrors=[]'))[1]).toMatchObject({
      level: 'problem',
      says: expect.stringContaining('no mirror is known'),
    });
  });

  test('that a mirror does not let through are told as that', { timeout: 60_000 }, async () => {
    const registry = await startRegistry();
    scope.defer(registry.stop);
    const { agent } = await plan([]);
    const [, finding] = await examined(agent, registry.host);
    expect(finding).toMatchObject({ level: 'problem', says: expect.stringContaining('403') });
    expect(finding?.mend).toContain(`registries.hosts names: put "${registry.host}" there`);
  });
});
