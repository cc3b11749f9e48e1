import { type Agent, type AgentOptions, configureRuntime, startAgent } from './agent.ts';
import { type Containerd, type ContainerdOptions, startContainerd } from './containerd.ts';
import { e2eImages, type ImageContent, imageContent, startImageRegistry } from './image-registry.ts';
import type { RegistryAuth } from './registry.ts';
import { type Relay, type RelayRequest, startRelay } from './relay.ts';
import type { Scope } from './scope.ts';

export type E2eImage = keyof typeof e2eImages;

export interface NodeOptions
  extends Omit<AgentOptions, 'runtimeSocket' | 'prefix'>,
    Pick<ContainerdOptions, 'binary' | 'collectsByItself'> {
  /** The registry is open to everybody without this. */
  readonly auth?: RegistryAuth;
}

/** A node as the kubelet sees it, and its registry: containerd configured to ask the agent, the agent before containerd. */
export interface TestNode {
  readonly containerd: Containerd;
  readonly agent: Agent;
  /** In front of the registry: counts what leaves it and misbehaves on demand. */
  readonly origin: Relay;
  /** The image's reference, as it stands in a pod. */
  image(name: E2eImage): string;
  content(name: E2eImage): Promise<ImageContent>;
}

/** Starts registry, containerd and agent, and runs `shoal runtime configure`. */
export async function startNode(scope: Scope, options: NodeOptions = {}): Promise<TestNode> {
  const { auth, binary, collectsByItself, ...agentOptions } = options;
  const open = await startImageRegistry(scope, e2eImages);
  const registry = auth === undefined ? open : await startImageRegistry(scope, e2eImages, { auth });
  const origin = await startRelay(scope, registry.url);
  const containerd = await startContainerd(scope, {
    ...(binary === undefined ? {} : { binary }),
    ...(collectsByItself === undefined ? {} : { collectsByItself }),
  });
  const agent = await startAgent(scope, { ...agentOptions, runtimeSocket: containerd.socket });
  await configureRuntime(agent, containerd);
  return {
    containerd,
    agent,
    origin,
    image: (name) => `${origin.host}/${name}:v1`,
    content: (name) => imageContent(open.url, name),
  };
}

/** Whether a request at the origin comes from the runtime itself and not from Shoal. */
export function fromContainerd(request: RelayRequest): boolean {
  return request.userAgent.startsWith('containerd/');
}
