import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { type Agent, type AgentOptions, configureRuntime, startAgent } from '../harness/agent.ts';
import { createTokenIssuer, type TokenIssuer } from '../harness/alibaba-cloud/oidc-token.ts';
import { cloudState, names } from '../harness/alibaba-cloud/scenario.ts';
import { type Site, startSite } from '../harness/alibaba-cloud/site.ts';
import type { FakeCloudState } from '../harness/alibaba-cloud/types.ts';
import { configOf, ofKind } from '../harness/chart-objects.ts';
import { type Containerd, startContainerd } from '../harness/containerd.ts';
import { renderChart } from '../harness/helm.ts';
import { e2eImages, startImageRegistry } from '../harness/image-registry.ts';
import { type E2eImage, fromContainerd } from '../harness/node.ts';
import type { RunningRegistry } from '../harness/registry.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

const publicHost = 'public.example.com';
const scope = new Scope();
let issuer: TokenIssuer;
let images: RunningRegistry;

beforeAll(async () => {
  issuer = createTokenIssuer('https://oidc.example.com/cluster');
  images = await startImageRegistry(scope, e2eImages);
});
afterAll(() => scope.close());

interface AcrNode {
  readonly site: Site;
  readonly containerd: Containerd;
  readonly agent: Agent;
  /** Pulls an image as the kubelet does ("mixed" by default), and gives the pull's log line and who fetched the blobs from the registry. */
  pull(
    host: string,
    image?: E2eImage,
  ): Promise<{ readonly line: Readonly<Record<string, unknown>>; readonly fetchedBy: 'shoal' | 'containerd' }>;
}

/** A node at a site: containerd, the agent before it, the instance's registry and a public one under their own names. */
async function startNodeAt(
  instanceHost: string,
  options: Pick<AgentOptions, 'sections' | 'p2p' | 'env'>,
  change: Partial<FakeCloudState> = {},
): Promise<AcrNode> {
  const life = new Scope();
  onTestFinished(() => life.close());
  const site = await startSite(life, {
    state: { ...cloudState(issuer), ...change },
    registries: { [instanceHost]: images.url, [publicHost]: images.url },
  });
  const { prefix } = site;
  const containerd = await startContainerd(life, { prefix });
  const agent = await startAgent(life, { ...options, prefix, runtimeSocket: containerd.socket });
  await configureRuntime(agent, containerd);
  let pulls = 0;
  return {
    site,
    containerd,
    agent,
    async pull(host, image = 'mixed') {
      const relay = site.registry(host);
      relay.reset();
      await agent.cri.pullImage(`${host}/${image}:v1`);
      pulls += 1;
      const line = await agent.nthPull(pulls);
      const blobs = relay.requests.filter((request) => request.kind === 'blob');
      expect(blobs).not.toEqual([]);
      const own = blobs.filter(fromContainerd);
      // All of them or none: half a pull is neither.
      expect([0, blobs.length]).toContain(own.length);
      return { line, fetchedBy: own.length === 0 ? 'shoal' : 'containerd' };
    },
  };
}

const known = (agent: Agent) => agent.logged((line) => line.msg === 'ACR hosts to accelerate', "the instances' hosts");

async function expectInstanceAlone(node: AcrNode, instanceHost: string): Promise<void> {
  await known(node.agent);
  expect(await node.pull(instanceHost)).toMatchObject({
    fetchedBy: 'shoal',
    line: { result: 'ok', rule: 'acrInstances' },
  });
  expect(await node.pull(publicHost, 'layered')).toMatchObject({
    fetchedBy: 'containerd',
    line: { result: 'ok', notAccelerated: 'not a host of acrInstances' },
  });
}

/**
 * What the Helm chart makes of these values for a node: the part of the configuration that is about images, and the Secrets and the token
 * in files, as the DaemonSet's pod puts them there.
 */
async function nodeOf(set: readonly string[], token?: string): Promise<Record<string, unknown>> {
  const rendered = await renderChart({ set });
  const folder = await temporaryFolder(scope, 'etc-shoal');
  const files = ofKind(rendered, 'Secret').flatMap(({ data }) =>
    Object.entries((data ?? {}) as Record<string, string>),
  );
  for (const [name, content] of files) await writeFile(path.join(folder, name), Buffer.from(content, 'base64'));
  if (token !== undefined) await writeFile(path.join(folder, 'rrsa-token'), token);
  const text = configOf(rendered, 'agent').replaceAll('/etc/shoal/', `${folder}/`);
  const whole = parse(text) as Record<string, unknown>;
  // There is no Kubernetes here to be a member of.
  const others = ['p2p', 'registries', 'log', 'mirror', 'telemetry', 'accelerate'];
  return Object.fromEntries(Object.entries(whole).filter(([key]) => !others.includes(key)));
}

describe('only the images of the instance are accelerated', () => {
  test('in ACK, with the worker RAM role: nothing is set but acrInstances', async () => {
    const sections = await nodeOf([`acrInstances=${names.instance}`]);
    const node = await startNodeAt(names.vpcHost, { sections });
    await expectInstanceAlone(node, names.vpcHost);
    expect(node.site.cloud.calls).toEqual([
      expect.objectContaining({
        action: 'GetInstanceVpcEndpoint',
        host: 'cr-vpc.cn-hangzhou.aliyuncs.com',
        keyId: expect.stringMatching(/^STS\./),
        status: 200,
      }),
    ]);
  });

  test('in a data centre, with an AccessKey, over the Internet', async () => {
    const sections = await nodeOf([
      `region=${names.region}`,
      `accessKey=${names.user.id}`,
      `accessKeySecret=${names.user.secret}`,
      `p2p.registryInstances=${names.instance}`,
      'pullImageInternet=true',
      'p2p.plusMode.enable=true',
    ]);
    const node = await startNodeAt(names.internetHost, { sections }, { node: { region: '', vpcId: '' } });
    await expectInstanceAlone(node, names.internetHost);
    expect(node.site.cloud.calls).toEqual([
      expect.objectContaining({ action: 'ListInstanceEndpoint', host: 'cr.cn-hangzhou.aliyuncs.com', status: 200 }),
    ]);
    expect(node.site.metadata.requests).toEqual([]);
    const printed = await node.agent.shoal('config', 'print');
    for (const text of [printed.stdout, node.agent.process.output]) expect(text).not.toContain(names.user.secret);
  });

  test("with RRSA, in another account's instance", async () => {
    const values = [
      `acrInstances=${names.farInstance}`,
      'rrsa.enable=true',
      `rrsa.rrsaRoleARN=${names.crossingRole}`,
      `rrsa.rrsaOIDCProviderRoleARN=${names.provider}`,
      `rrsa.assumeRoleARN=${names.farRole}`,
      'rrsa.expireDuration=7200',
    ];
    const sections = await nodeOf(values, issuer.issue(names.subject, 3600));
    const node = await startNodeAt(names.farHost, { sections });
    await expectInstanceAlone(node, names.farHost);
    expect(node.site.cloud.calls.map(({ action, host }) => `${action} ${host.split('.')[0]}`)).toEqual([
      'AssumeRoleWithOIDC sts-vpc',
      'AssumeRole sts-vpc',
      'GetInstanceVpcEndpoint cr-vpc',
    ]);
  });
});

describe('when the OpenAPI is away', () => {
  const sections = { acrInstances: names.instance };

  test('from the first start on, images are pulled as without Shoal, and the log says what to do', async () => {
    const node = await startNodeAt(names.vpcHost, { sections }, { node: { region: names.region, vpcId: names.vpc } });
    const line = await node.agent.logged(({ instance }) => instance === names.instance, 'the problem');
    const status = await node.agent.shoal('status', '--output', 'json');
    expect(JSON.parse(status.stdout).conditions).toContainEqual(
      expect.objectContaining({ name: 'acr', state: 'degraded', reason: line.cause }),
    );
    expect(line.cause).toMatch(/no RAM role .*; attach the worker RAM role to it, or use an AccessKey or RRSA/);
    expect(await node.pull(names.vpcHost)).toMatchObject({
      fetchedBy: 'containerd',
      line: { result: 'ok', notAccelerated: 'the hosts of acrInstances are not known yet' },
    });
  });

  test('after a restart, the instance is accelerated as before', async () => {
    const node = await startNodeAt(names.vpcHost, { sections });
    await known(node.agent);
    node.site.trouble = () => 'unavailable';
    await node.agent.restart();
    const pulled = await node.pull(names.vpcHost);
    expect(pulled).toMatchObject({ fetchedBy: 'shoal', line: { rule: 'acrInstances' } });
  });
});
