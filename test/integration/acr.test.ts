import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { Api } from '../../src/acr/api.ts';
import { createHttpClient } from '../../src/acr/http.ts';
import { ServerTime } from '../../src/acr/server-time.ts';
import { type Acr, startAcr } from '../../src/acr/start.ts';
import type { InstanceStatus } from '../../src/acr/types.ts';
import { systemClock } from '../../src/clock.ts';
import { resolveConfig } from '../../src/config/load.ts';
import { createRegistryClient } from '../../src/registry/client.ts';
import type { Credentials } from '../../src/registry/types.ts';
import { createTokenIssuer } from '../harness/alibaba-cloud/oidc-token.ts';
import { cloudState, names } from '../harness/alibaba-cloud/scenario.ts';
import { type CloudServer, startAlibabaCloud } from '../harness/alibaba-cloud/server.ts';
import type { FakeCloudState, Trouble } from '../harness/alibaba-cloud/types.ts';
import { keptLog, type LogLine } from '../harness/log-lines.ts';
import { ManualClock } from '../harness/manual-clock.ts';
import { freePort } from '../harness/ports.ts';
import { startRegistry } from '../harness/registry.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

const issuer = createTokenIssuer('https://oidc.example.com/cluster');
const outer = new Scope();
afterAll(() => outer.close());

interface Life {
  readonly server: CloudServer;
  readonly folder: string;
  readonly clock: ManualClock;
  readonly lines: readonly LogLine[];
  /** Starts with these values of the configuration, beside the addresses of the cloud. */
  start(values: object, env?: Record<string, string>): Promise<Acr>;
  /** The instances' status after the first round. */
  settled(acr: Acr): Promise<readonly InstanceStatus[]>;
  /** Lets the pause before the next round pass, and then that round. */
  round(acr: Acr): Promise<readonly InstanceStatus[]>;
  file(name: string, text: string): Promise<string>;
}

async function life(change: Partial<FakeCloudState> = {}): Promise<Life> {
  const scope = new Scope();
  onTestFinished(() => scope.close());
  const folder = await temporaryFolder(scope, 'acr');
  const server = await startAlibabaCloud(scope, { ...cloudState(issuer), ...change });
  const clock = new ManualClock();
  const { log, lines } = keptLog();
  const endpoints = { openapi: server.apiUrl, sts: server.apiUrl, metadata: server.metadataUrl };
  const rounds = (): number => lines.filter(({ msg }) => msg === 'ACR was asked for its endpoints').length;
  const after = async (count: number, acr: Acr): Promise<readonly InstanceStatus[]> => {
    // Calls that are repeated pause, too: only the pause after a round is the one that is meant.
    for (;;) {
      await clock.asleep();
      if (rounds() >= count) return acr.instances.status().instances;
      await clock.next();
    }
  };
  return {
    server,
    folder,
    clock,
    lines,
    async start(values, env = {}) {
      const text = JSON.stringify({ stateDir: path.join(folder, 'state'), acr: { endpoints }, ...values });
      const { config } = resolveConfig({ env: {}, document: { file: 'config.yaml', text } });
      const acr = await startAcr(config, log, { environment: env, clock });
      scope.defer(() => acr.close());
      return acr;
    },
    settled: (acr) => after(1, acr),
    async round(acr) {
      const count = rounds() + 1;
      await clock.next();
      return after(count, acr);
    },
    async file(name, content) {
      const file = path.join(folder, name);
      await writeFile(file, content, { mode: 0o600 });
      return file;
    },
  };
}

const userInEnvironment = {
  ALIBABA_CLOUD_ACCESS_KEY_ID: names.user.id,
  ALIBABA_CLOUD_ACCESS_KEY_SECRET: names.user.secret,
};

const hostsOf = (acr: Acr): string[] => [...(acr.instances.hosts() ?? [])];

test('without instances nothing is restricted, and nobody is asked', async () => {
  const { start, server } = await life();
  const acr = await start({});
  expect(acr.instances.hosts()).toBeUndefined();
  expect(acr.instances.status()).toEqual({ authorization: undefined, instances: [] });
  expect([...server.cloud.calls, ...server.metadata.requests]).toEqual([]);
});

describe('an AccessKey', () => {
  test('out of files names the VPC endpoint; region and VPC are those of the node', async () => {
    const { start, settled, server, file } = await life();
    const acr = await start({
      acrInstances: names.instance,
      accessKeyFile: await file('id', `${names.user.id}\n`),
      accessKeySecretFile: await file('secret', `${names.user.secret}\n`),
    });
    await settled(acr);
    expect(hostsOf(acr)).toEqual([names.vpcHost]);
    expect(acr.instances.status().authorization).toBe('accessKey');
    expect(server.cloud.calls).toEqual([
      expect.objectContaining({ action: 'GetInstanceVpcEndpoint', keyId: names.user.id, status: 200 }),
    ]);
    expect(server.metadata.requests.map(({ target }) => target)).toEqual([
      '/latest/api/token',
      '/latest/meta-data/region-id',
      '/latest/meta-data/vpc-id',
    ]);
  });

  test('out of the environment names the Internet endpoint, on a machine that is no ECS instance', async () => {
    const { start, settled, server } = await life({ node: { region: '', vpcId: '' } });
    const values = { p2p: { registryInstances: names.instance }, region: names.region, pullImageInternet: true };
    const acr = await start(values, userInEnvironment);
    await settled(acr);
    expect(hostsOf(acr)).toEqual([names.internetHost]);
    expect(server.cloud.calls.map(({ action }) => action)).toEqual(['ListInstanceEndpoint']);
    expect(server.metadata.requests).toEqual([]);
  });

  test('that is temporary comes with its token', async () => {
    const { start, settled, server, file } = await life();
    const session = server.cloud.openSession(names.workerRole, 3600) as Record<string, string>;
    const acr = await start({
      acrInstances: names.instance,
      accessKeyFile: await file('id', session.AccessKeyId ?? ''),
      accessKeySecretFile: await file('secret', session.AccessKeySecret ?? ''),
      securityTokenFile: await file('token', session.SecurityToken ?? ''),
    });
    await settled(acr);
    expect(hostsOf(acr)).toEqual([names.vpcHost]);
  });

  test('that is rotated in its files is used from the next round on', async () => {
    const { start, settled, round, server, file } = await life();
    const files = { accessKeyFile: await file('id', 'LTAIold'), accessKeySecretFile: await file('secret', 'old') };
    const acr = await start({ acrInstances: names.instance, ...files });
    const [before] = await settled(acr);
    expect(before?.problem).toMatch(/InvalidAccessKeyId.NotFound.*is the AccessKey \(still\) active/);
    await file('id', names.user.id);
    await file('secret', names.user.secret);
    const [after] = await round(acr);
    expect(after).toMatchObject({ hosts: [names.vpcHost], problem: undefined });
    expect(server.cloud.calls.map(({ code }) => code)).toEqual(['InvalidAccessKeyId.NotFound', '']);
  });

  test.each([
    ['is missing', undefined, /accessKeyFile: .*id can't be read: ENOENT/],
    ['is empty', ' \n', /accessKeyFile: .*id is empty/],
  ])('whose file %s is a clear problem, and nothing is asked', async (_what, content, message) => {
    const { start, settled, server, folder, file } = await life();
    const accessKeyFile = content === undefined ? path.join(folder, 'id') : await file('id', content);
    const accessKeySecretFile = await file('secret', names.user.secret);
    const acr = await start({ acrInstances: names.instance, accessKeyFile, accessKeySecretFile });
    expect((await settled(acr))[0]?.problem).toMatch(message);
    expect(server.cloud.calls).toEqual([]);
  });

  test('of which half is in the environment is a clear problem', async () => {
    const { start, settled } = await life();
    const acr = await start({ acrInstances: names.instance }, { ALIBABA_CLOUD_ACCESS_KEY_ID: names.user.id });
    expect((await settled(acr))[0]?.problem).toMatch(/ALIBABA_CLOUD_ACCESS_KEY_SECRET is missing/);
  });
});

describe('the worker RAM role', () => {
  test('is found by the metadata service, with session tokens alone', async () => {
    const { start, settled, server } = await life();
    const acr = await start({ acrInstances: names.instance });
    await settled(acr);
    expect(acr.instances.status().authorization).toBe('workerRole');
    expect(hostsOf(acr)).toEqual([names.vpcHost]);
    expect(server.cloud.calls[0]?.keyId).toMatch(/^STS\./);
    expect(server.metadata.requests.map(({ target }) => target).slice(-2)).toEqual([
      '/latest/meta-data/ram/security-credentials/',
      '/latest/meta-data/ram/security-credentials/KubernetesWorkerRole-test',
    ]);
    expect(server.metadata.requests.filter(({ method }) => method === 'PUT')).toHaveLength(1);
  });

  test('is asked for anew when its credentials ended before their time', async () => {
    const { start, settled, round, server } = await life();
    const acr = await start({ acrInstances: names.instance });
    await settled(acr);
    server.cloud.expireSessions();
    server.metadata.forgetTokens();
    expect((await round(acr))[0]?.problem).toBeUndefined();
    expect(server.cloud.calls.map(({ code }) => code)).toEqual(['', 'InvalidSecurityToken.Expired', '']);
    expect(new Set(server.cloud.calls.map(({ keyId }) => keyId)).size).toBe(2);
  });

  test('that the node does not have is a clear problem', async () => {
    const { start, settled } = await life({ node: { region: names.region, vpcId: names.vpc } });
    const acr = await start({ acrInstances: names.instance });
    expect((await settled(acr))[0]?.problem).toMatch(/this node has no RAM role .*attach the worker RAM role/);
  });

  test('on a machine without metadata service is a clear problem', async () => {
    const { start, settled, server } = await life();
    const nowhere = `http://127.0.0.1:${await freePort()}`;
    const acr = await start({
      acrInstances: names.instance,
      acr: { endpoints: { openapi: server.apiUrl, metadata: nowhere } },
    });
    expect((await settled(acr))[0]?.problem).toMatch(/metadata service does not answer: .*ECONNREFUSED.*; on machines/);
  });
});

describe('RRSA', () => {
  const role = { enable: true, rrsaRoleARN: names.rrsaRole, rrsaOIDCProviderRoleARN: names.provider };

  test('assumes the role with the token, which is signed by nobody else', async () => {
    const { start, settled, server, file } = await life();
    const tokenFile = await file('token', issuer.issue(names.subject, 3600));
    const acr = await start({ acrInstances: names.instance, rrsa: { ...role, tokenFile } });
    await settled(acr);
    expect(acr.instances.status().authorization).toBe('rrsa');
    expect(hostsOf(acr)).toEqual([names.vpcHost]);
    expect(server.cloud.calls.map(({ action, keyId }) => [action, keyId?.slice(0, 4)])).toEqual([
      ['AssumeRoleWithOIDC', undefined],
      ['GetInstanceVpcEndpoint', 'STS.'],
    ]);
  });

  test("goes on into the instance's account", async () => {
    const { start, settled, server, file } = await life();
    const crossing = { rrsaRoleARN: names.crossingRole, assumeRoleARN: names.farRole, expireDuration: 7200 };
    const tokenFile = await file('token', issuer.issue(names.subject, 3600));
    const acr = await start({ acrInstances: names.farInstance, rrsa: { ...role, ...crossing, tokenFile } });
    await settled(acr);
    expect(hostsOf(acr)).toEqual([names.farHost]);
    expect(server.cloud.calls.map(({ action }) => action)).toEqual([
      'AssumeRoleWithOIDC',
      'AssumeRole',
      'GetInstanceVpcEndpoint',
    ]);
  });

  test('reads the token anew when it was rotated', async () => {
    const { start, settled, round, server, file } = await life();
    const tokenFile = await file('token', issuer.issue(names.subject, -1));
    const acr = await start({ acrInstances: names.instance, rrsa: { ...role, tokenFile } });
    const [old] = await settled(acr);
    expect(old?.problem).toMatch(/OIDCToken.Expired.*the token in .*token is old/);
    await file('token', issuer.issue(names.subject, 3600));
    expect((await round(acr))[0]?.problem).toBeUndefined();
    server.cloud.expireSessions();
    expect((await round(acr))[0]?.problem).toBeUndefined();
  });

  test.each([
    [
      'a service account that the role does not trust',
      'system:serviceaccount:default:other',
      {},
      /NoPermission.*trust policy of rrsa.rrsaRoleARN/,
    ],
    ['a role that is not there', names.subject, { rrsaRoleARN: 'acs:ram::1001:role/none' }, /NoPermission/],
    [
      'a provider that is not there',
      names.subject,
      { rrsaOIDCProviderRoleARN: 'acs:ram::1:x' },
      /are rrsa.rrsaRoleARN and/,
    ],
    ['a role that may not go on', names.subject, { assumeRoleARN: names.farRole }, /needs AliyunSTSAssumeRoleAccess/],
    [
      'more seconds than the role may last',
      names.subject,
      { rrsaRoleARN: names.crossingRole, assumeRoleARN: names.farRole, expireDuration: 43_200 },
      /is rrsa.expireDuration \(43200\) more than the role's maximum/,
    ],
  ])('of %s is a clear problem', async (_what, subject, change, message) => {
    const { start, settled, file } = await life();
    const tokenFile = await file('token', issuer.issue(subject, 3600));
    const acr = await start({ acrInstances: names.farInstance, rrsa: { ...role, ...change, tokenFile } });
    expect((await settled(acr))[0]?.problem).toMatch(message);
  });
});

describe('an instance', () => {
  test('that is unknown is a clear problem, and no other waits for it', async () => {
    const { start, settled } = await life();
    const acr = await start({ acrInstances: ['cri-none', names.instance] }, userInEnvironment);
    const [unknown, known] = await settled(acr);
    expect(unknown?.problem).toMatch(
      /INSTANCE_NOT_EXIST.*is cri-none the instance's ID, and cn-hangzhou \(the node's own/,
    );
    expect(known?.hosts).toEqual([names.vpcHost]);
  });

  test('that these credentials may not ask about is a clear problem', async () => {
    const { start, settled } = await life();
    const acr = await start(
      { acrInstances: names.instance },
      { ALIBABA_CLOUD_ACCESS_KEY_ID: names.powerless.id, ALIBABA_CLOUD_ACCESS_KEY_SECRET: names.powerless.secret },
    );
    expect((await settled(acr))[0]?.problem).toMatch(/NoPrivilege.*lacks the permission cr:GetInstanceVpcEndpoint/);
  });

  test('that is not linked with the VPC is used, with a warning', async () => {
    const { start, settled } = await life();
    const acr = await start({ acrInstances: names.otherInstance }, userInEnvironment);
    const [status] = await settled(acr);
    expect(status?.hosts).toEqual([names.otherHost]);
    expect(status?.problem).toMatch(/cri-other is not linked with vpc-node/);
  });

  test('is asked about in the configured VPC', async () => {
    const { start, settled } = await life();
    const acr = await start({ acrInstances: names.instance, vpcId: 'vpc-elsewhere' }, userInEnvironment);
    expect((await settled(acr))[0]?.problem).toMatch(/not linked with vpc-elsewhere/);
  });
});

describe('trouble', () => {
  test.each<Trouble>(['throttle', 'unavailable', 'reset', 'proxy-page'])('of kind %s passes', async (kind) => {
    const { start, settled, server, lines } = await life();
    server.trouble = (attempt) => (attempt < 3 ? kind : undefined);
    const acr = await start({ acrInstances: names.instance }, userInEnvironment);
    const [status] = await settled(acr);
    expect(status).toMatchObject({ hosts: [names.vpcHost], problem: undefined });
    expect(lines.filter(({ msg }) => msg === 'OpenAPI call is repeated')).toHaveLength(3);
  });

  test.each<[Trouble, RegExp]>([
    ['throttle', /Throttling.User/],
    ['unavailable', /503 ServiceUnavailable/],
    ['not-json', /the answer is not JSON/],
    ['wrong-shape', /the answer has not what it should have: Domains.0/],
  ])('of kind %s that does not end is a clear problem, and the known hosts stay', async (kind, message) => {
    const { start, settled, round, server, clock } = await life();
    const acr = await start({ acrInstances: names.instance }, userInEnvironment);
    await settled(acr);
    server.trouble = () => kind;
    clock.sleeps.length = 0;
    await round(acr);
    expect(acr.instances.status().instances[0]?.problem).toMatch(message);
    expect(hostsOf(acr)).toEqual([names.vpcHost]);
    expect(clock.sleeps.length).toBeLessThanOrEqual(5);
    server.trouble = undefined;
    expect((await round(acr))[0]?.problem).toBeUndefined();
  });

  test('of an answer that never comes ends at the deadline, after a few tries', async () => {
    const { server } = await life();
    server.trouble = () => 'hang';
    const http = createHttpClient({ hosts: {}, environment: {}, connectTimeoutMs: 5_000 });
    onTestFinished(() => http.close());
    const clock = { ...systemClock, sleep: async () => undefined };
    const options = { send: http.send, time: new ServerTime(Date.now), log: keptLog().log, clock, deadlineMs: 100 };
    const call = { action: 'GetX', version: '1', parameters: {}, key: undefined, answer: z.object({}) };
    const { signal } = new AbortController();
    await expect(new Api(options).call({ ...call, origins: [server.apiUrl] }, signal)).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringMatching(/no complete answer within 100 ms/),
    });
  });

  test.each([
    ['slow', 20 * 60_000],
    ['fast', -20 * 60_000],
  ])('with a clock that is %s is noticed, told and worked around', async (_how, ahead) => {
    const { start, settled, server, lines } = await life();
    server.cloud.clockAhead = ahead;
    const acr = await start({ acrInstances: names.instance }, userInEnvironment);
    expect((await settled(acr))[0]).toMatchObject({ hosts: [names.vpcHost], problem: undefined });
    expect(server.cloud.calls.map(({ code }) => code)).toEqual(['InvalidTimeStamp.Expired', '']);
    const [warning] = lines.filter(({ msg }) => msg.includes("clock is off, Alibaba Cloud's is used"));
    expect(Math.abs(Number(warning?.behindSeconds) - ahead / 1000)).toBeLessThan(5);
  });
});

describe('a temporary login', () => {
  const values = { acrInstances: names.instance, registries: { logins: { acr: true } } };

  test('opens the registry of its instance, and no other', async () => {
    const { start, settled, server } = await life();
    const registry = await startRegistry({ auth: { htpasswd: { cr_temp_user: 'the-temporary-password' } } });
    onTestFinished(() => registry.stop());
    const { instances, roles } = server.cloud.state;
    const temporary = { username: 'cr_temp_user', password: 'the-temporary-password' };
    const vpc = { domains: [registry.host], linkedVpcs: [names.vpc] };
    const role = {
      account: '1001',
      maxSeconds: 3600,
      actions: ['cr:GetInstanceVpcEndpoint', 'cr:GetAuthorizationToken'],
    };
    server.cloud.state = {
      ...server.cloud.state,
      instances: { ...instances, [names.instance]: { account: '1001', login: temporary, vpc } },
      roles: { ...roles, [names.workerRole]: role },
    };
    const acr = await start(values);
    await settled(acr);
    const credentials = await acr.logins.credentialsFor(registry.host);
    const client = createRegistryClient(
      { hosts: {}, connectTimeout: 5, transferTimeout: 15, parallels: 1, environment: {} },
      keptLog().log,
    );
    onTestFinished(() => client.close());
    const ask = (as: Credentials) =>
      client.getManifest({ registry: registry.host, repository: 'a' }, 'v1', { credentials: as });
    // There is no such image, which is what only those hear that are let in.
    await expect(ask(credentials)).rejects.toMatchObject({ kind: 'not-found' });
    await expect(ask({ kind: 'anonymous' })).rejects.toMatchObject({ kind: 'unauthorized' });
    expect(await acr.logins.credentialsFor('docker.io')).toEqual({ kind: 'anonymous' });
  });

  test('without the right to it is a clear error', async () => {
    const { start, settled } = await life();
    const acr = await start(values);
    await settled(acr);
    await expect(acr.logins.credentialsFor(names.vpcHost)).rejects.toMatchObject({
      kind: 'unauthorized',
      message: expect.stringMatching(
        /no temporary login for test-registry-vpc.*lacks the permission cr:GetAuthorizationToken/,
      ),
    });
  });
});

describe('a restart', () => {
  const values = { acrInstances: names.instance };

  test('while the OpenAPI is away goes on with what was known', async () => {
    const { start, settled, server } = await life();
    const first = await start(values, userInEnvironment);
    await settled(first);
    await first.close();
    server.trouble = () => 'unavailable';
    const second = await start(values, userInEnvironment);
    expect(hostsOf(second)).toEqual([names.vpcHost]);
  });

  test.each([
    ['another kind of endpoint', { pullImageInternet: true }],
    ['another region', { region: 'cn-beijing' }],
    ['other instances', { acrInstances: names.otherInstance }],
  ])('with %s does not', async (_what, change) => {
    const { start, settled, server } = await life();
    const first = await start(values, userInEnvironment);
    await settled(first);
    await first.close();
    server.trouble = () => 'unavailable';
    expect(hostsOf(await start({ ...values, ...change }, userInEnvironment))).toEqual([]);
  });

  test.each([
    ['cut short', (text: string) => text.slice(0, -20)],
    ['with a host that is none', (text: string) => text.replace(names.vpcHost, 'https://evil/')],
  ])('with a file that is %s says so, and asks anew', async (_what, damage) => {
    const { start, settled, server, folder, lines } = await life();
    const first = await start(values, userInEnvironment);
    await settled(first);
    await first.close();
    const file = path.join(folder, 'state/acr-instances.json');
    await writeFile(file, damage(await readFile(file, 'utf8')));
    server.trouble = () => 'unavailable';
    expect(hostsOf(await start(values, userInEnvironment))).toEqual([]);
    expect(lines.some(({ cause }) => String(cause).endsWith('acr-instances.json is damaged'))).toBe(true);
  });
});

test('no secret is in a log line, a problem or the state, whatever goes wrong', async () => {
  const { start, settled, server, folder, file, lines } = await life();
  const session = server.cloud.openSession(names.workerRole, 3600) as Record<string, string>;
  const secret = 'another-secret-than-the-right-one';
  const acr = await start({
    acrInstances: names.instance,
    accessKeyFile: await file('id', session.AccessKeyId ?? ''),
    accessKeySecretFile: await file('secret', secret),
    securityTokenFile: await file('token', session.SecurityToken ?? ''),
  });
  const [status] = await settled(acr);
  // The cloud's message repeats the token.
  expect(status?.problem).toMatch(/SignatureDoesNotMatch.*for token \[secret\]/);
  const state = await readFile(path.join(folder, 'state/acr-instances.json'), 'utf8');
  for (const text of [JSON.stringify(lines), JSON.stringify(status), state]) {
    for (const value of [secret, session.AccessKeySecret, session.SecurityToken]) expect(text).not.toContain(value);
  }
});
