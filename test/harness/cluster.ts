import path from 'node:path';
import { initAuthority, issueCertificate } from '../../src/swarm/tls/authority.ts';
import { type Agent, type AgentOptions, configureRuntime, startAgent } from './agent.ts';
import { startBlobServer } from './blob-server.ts';
import { type Containerd, startContainerd } from './containerd.ts';
import type { PullOptions } from './cri-client.ts';
import { type ImageContent, imageContent, startImageRegistry } from './image-registry.ts';
import type { Recipe } from './images.ts';
import { createNetwork, type Host, type Network } from './network.ts';
import type { RegistryAuth } from './registry.ts';
import { type Relay, startRelay } from './relay.ts';
import { startRuntimeStandIn } from './runtime-stand-in.ts';
import type { Scope } from './scope.ts';
import { temporaryFolder } from './temp.ts';

export interface ClusterOptions<Image extends string> {
  /** Each is in the registry as `<name>:v1`. */
  readonly images: Readonly<Record<Image, Recipe>>;
  readonly nodes: number;
  /** So many nodes, the first ones, have a real containerd; the others a stand-in that pulls like it. None by default. */
  readonly containerds?: number;
  /** Of every node's link, of 10^6 bits a second each way. */
  readonly megabits?: number | ((node: number) => number);
  /** The same of the registry's link. */
  readonly originMegabits?: number;
  readonly zone?: (node: number) => string;
  /** The registry is open to everybody without this. */
  readonly auth?: RegistryAuth;
  /** nginx sends the blobs, for less CPU than the registry; the relay sees the rest alone, and breaks nothing of them. */
  readonly cheapBlobs?: boolean;
  /** Mutual TLS between the nodes; plain text by default. */
  readonly tls?: boolean;
  /** Further keys of the section p2p of one node, whose name in the membership is `member`. */
  readonly p2p?: (node: number, member: string) => Readonly<Record<string, unknown>>;
  /** Called when the nodes' machines are there and nothing runs on them yet. */
  readonly prepare?: (machines: readonly Host[]) => Promise<void>;
  readonly agent?: Pick<AgentOptions, 'memoryTier' | 'diskTier' | 'logLevel' | 'telemetry' | 'nodeOptions' | 'program'>;
}

/** A machine with a runtime and Shoal before it. */
export interface ClusterNode {
  readonly host: Host;
  readonly agent: Agent;
  /** Undefined where a stand-in pulls. */
  readonly containerd: Containerd | undefined;
  readonly runtimePid: number;
  /** Kills runtime and agent: whatever went on there ends at once. */
  kill(): Promise<void>;
  /** Starts both anew after `kill`. */
  restart(): Promise<void>;
}

export interface Cluster<Image extends string> {
  readonly network: Network;
  readonly nodes: readonly ClusterNode[];
  /** The registry's machine. */
  readonly originHost: Host;
  /** In front of the registry, behind its link: counts what leaves it and misbehaves on demand. */
  readonly origin: Relay;
  /** Bytes of blobs and manifests that have left the registry, bodies alone, whoever sent them. */
  contentBytes(): Promise<number>;
  /** The image's reference, as it stands in a pod. */
  image(name: Image): string;
  content(name: Image): Promise<ImageContent>;
  /** A PullImage of the kubelet on that node, and then `expectImage`. */
  pull(node: ClusterNode, name: Image, options?: PullOptions): Promise<void>;
  /** The node's runtime must have the image, every byte of it right. Rejects otherwise. */
  expectImage(node: ClusterNode, name: Image): Promise<void>;
  /** Has the node's runtime forget the image. */
  forget(node: ClusterNode, name: Image): Promise<void>;
}

const swarmPort = 65001;
const registryPort = 5000;
const relayPort = 5001;

/**
 * Starts a registry and nodes with agents in one swarm, each on a machine of its own of a network that nobody else sees. All of
 * it is gone when the scope closes.
 */
export async function startCluster<Image extends string>(
  scope: Scope,
  options: ClusterOptions<Image>,
): Promise<Cluster<Image>> {
  const { megabits = 200, originMegabits = 200 } = options;
  const rateOf = (node: number): number => (typeof megabits === 'number' ? megabits : megabits(node));
  const network = await createNetwork(scope, [
    { name: 'origin', megabits: originMegabits },
    ...Array.from({ length: options.nodes }, (_, node) => ({ name: `node${node + 1}`, megabits: rateOf(node) })),
  ]);
  const [originHost, ...hosts] = network.hosts;
  if (originHost === undefined) throw new Error('the network has no host for the registry');
  const open = await startImageRegistry(scope, options.images);
  const { auth } = options;
  const registry = auth === undefined ? open : await startImageRegistry(scope, options.images, { auth });
  const { cheapBlobs = false } = options;
  const origin = await startRelay(scope, registry.url, {
    host: originHost,
    port: cheapBlobs ? relayPort : registryPort,
  });
  const blobServer = cheapBlobs
    ? await startBlobServer(scope, { machine: originHost, port: registryPort, root: registry.root, relay: origin })
    : undefined;
  const registryHost = blobServer?.host ?? origin.host;

  const members = hosts.map((host) => `${host.address}:${swarmPort}`);
  const tls = options.tls === true ? await certificates(scope, members) : () => ({ tls: 'off' });
  await options.prepare?.(hosts);
  const nodes: ClusterNode[] = [];
  const startNode = async (host: Host, index: number): Promise<ClusterNode> => {
    const zone = options.zone?.(index);
    const p2p = {
      port: swarmPort,
      membership: { source: 'static', agents: members },
      ...(zone === undefined ? {} : { zone }),
      ...tls(index),
      ...options.p2p?.(index, `${host.address}:${swarmPort}`),
    };
    const registryHosts = { [registryHost]: { plainHttp: true } };
    const agentOptions = { ...options.agent, prefix: host.prefix, registryHosts, p2p };
    return index < (options.containerds ?? 0)
      ? await realNode(scope, host, agentOptions, `http://${registryHost}`)
      : await standInNode(scope, host, agentOptions);
  };
  // Two at a time: more only wait for each other's CPU.
  for (let first = 0; first < hosts.length; first += 2) {
    const pair = hosts.slice(first, first + 2).map((host, index) => startNode(host, first + index));
    nodes.push(...(await Promise.all(pair)));
  }

  await Promise.all(nodes.map(({ agent }) => agent.process.until(() => seesEverybody(agent), { what: 'the swarm' })));

  const image = (name: Image): string => `${registryHost}/${name}:v1`;
  const content = (name: Image): Promise<ImageContent> => imageContent(open.url, name);
  const expectImage = async ({ agent, host, containerd }: ClusterNode, name: Image): Promise<void> => {
    const { config, digest, blobs } = await content(name);
    const status = await agent.cri.imageStatus(image(name));
    const repoDigest = `${registryHost}/${name}@${digest}`;
    if (status?.id !== config || !status.repo_digests.includes(repoDigest)) {
      throw new Error(`${host.name} has ${status?.id} (${status?.repo_digests}), not ${config} (${repoDigest})`);
    }
    // A stand-in has checked every digest before it answered; containerd's store is read.
    const held = await containerd?.verifiedContent();
    const missing = held === undefined ? [] : blobs.filter((blob) => !held.includes(blob.digest));
    if (missing.length > 0) throw new Error(`${host.name} lacks ${missing.map((blob) => blob.digest).join(', ')}`);
  };
  return {
    network,
    nodes,
    originHost,
    origin,
    contentBytes: async () => origin.contentBytes + ((await blobServer?.blobBytes()) ?? 0),
    image,
    content,
    async pull(node, name, pullOptions) {
      await node.agent.cri.pullImage(image(name), pullOptions);
      await expectImage(node, name);
    },
    expectImage,
    forget: ({ agent }, name) => agent.cri.removeImage(image(name)),
  };
}

/** Whom the agent found away while the others were being started, it has found again. */
function seesEverybody(agent: Agent): boolean {
  const log = agent.log();
  const count = (message: string): number => log.filter(({ msg }) => msg === message).length;
  return count('a member of the swarm does not answer') === count('a member of the swarm answers again');
}

async function realNode(scope: Scope, host: Host, options: AgentOptions, server: string): Promise<ClusterNode> {
  const containerd = await startContainerd(scope, { prefix: host.prefix, server });
  const agent = await startAgent(scope, { ...options, runtimeSocket: containerd.socket });
  await configureRuntime(agent, containerd);
  return clusterNode(host, agent, containerd, containerd);
}

async function standInNode(scope: Scope, host: Host, options: AgentOptions): Promise<ClusterNode> {
  const socket = path.join(await temporaryFolder(scope, 'runtime'), 'runtime.sock');
  const agent = await startAgent(scope, { ...options, runtimeSocket: socket });
  const mirror = { url: agent.mirrorUrl, secretFile: path.join(agent.stateDir, 'loopback-secret') };
  const runtime = await startRuntimeStandIn(scope, { socket, mirror, prefix: host.prefix });
  return clusterNode(host, agent, runtime, undefined);
}

function clusterNode(
  host: Host,
  agent: Agent,
  runtime: Pick<Containerd, 'process' | 'kill' | 'restart'>,
  containerd: Containerd | undefined,
): ClusterNode {
  return {
    host,
    agent,
    containerd,
    get runtimePid() {
      return runtime.process.pid;
    },
    async kill() {
      // First: it would get from the registry what the agent does not give any more.
      await runtime.kill();
      await agent.kill();
    },
    async restart() {
      await runtime.restart();
      await agent.restart();
    },
  };
}

/** Certificates of the members, by their addresses. */
async function certificates(scope: Scope, members: readonly string[]): Promise<(node: number) => object> {
  const directory = await temporaryFolder(scope, 'certificates');
  await initAuthority({ directory });
  for (const [index, member] of members.entries()) {
    const addresses = [member.split(':')[0] ?? ''];
    await issueCertificate({ directory, output: directory, name: `node${index}`, addresses });
  }
  const file = (name: string): string => path.join(directory, name);
  return (node) => ({
    certificates: { caFile: file('ca.crt'), certFile: file(`node${node}.crt`), keyFile: file(`node${node}.key`) },
  });
}
