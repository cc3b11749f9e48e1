import { setImmediate as turn } from 'node:timers/promises';
import { systemClock } from '../../src/clock.ts';
import { configSchema } from '../../src/config/schema.ts';
import { native } from '../../src/native/index.ts';
import { PullEngine } from '../../src/pull/engine.ts';
import type { PullObserver } from '../../src/pull/observer.ts';
import { createPolicy } from '../../src/pull/policy.ts';
import type { Requester } from '../../src/pull/types.ts';
import { createPieceStore } from '../../src/store/store.ts';
import type { PieceStore } from '../../src/store/types.ts';
import type { Agent } from '../../src/swarm/directory/agent.ts';
import { Directory } from '../../src/swarm/directory/directory.ts';
import type { AgentMessage } from '../../src/swarm/messages.ts';
import { type DirectoryListener, PeerSwarm } from '../../src/swarm/peer-swarm.ts';
import { createPieceClient } from '../../src/swarm/transfer/client.ts';
import type { PieceProvider } from '../../src/swarm/transfer/types.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import type { RemoteSpans } from '../../src/telemetry/remote-spans.ts';
import { openPiecePort } from './piece-port.ts';
import type { Scope } from './scope.ts';
import { digestOf, ScriptedClient } from './scripted-client.ts';
import { temporaryFolder } from './temp.ts';

const MiB = 1024 * 1024;
const log = createLogger({ name: 'test', level: 'silent' });
const never = new AbortController().signal;
const runtime: Requester = { registry: 'reg.test', repository: 'app', runtime: true, accept: [] };

/** One node of a swarm in this process: everything is as in production but the directory's wire and the registry. */
export class LocalNode {
  readonly id: string;
  readonly client: ScriptedClient;
  readonly store: PieceStore;
  readonly swarm: PeerSwarm;
  readonly engine: PullEngine;
  /** Peers that this node could not reach. */
  readonly unreachable: string[] = [];

  constructor(parts: Pick<LocalNode, 'id' | 'client' | 'store' | 'swarm'>, observer?: PullObserver) {
    this.id = parts.id;
    this.client = parts.client;
    this.store = parts.store;
    this.swarm = parts.swarm;
    this.engine = new PullEngine({
      client: this.client,
      store: this.store,
      native,
      policy: createPolicy({ include: ['*'], exclude: [] }),
      blockBytes: 256 * 1024,
      parallels: 128,
      log,
      swarm: this.swarm,
      ...(observer && { observer }),
    });
  }

  /** Pulls as a runtime does: the config and three layers at a time. Returns the digests of what came. */
  async pull(tag: string, auth = { username: 'alice', password: 'right' }): Promise<string[]> {
    const opened = this.engine.open({ image: `reg.test/app:${tag}`, auth });
    if (opened.kind !== 'accepted') throw new Error(opened.reason);
    try {
      const { body } = await this.engine.manifest(runtime, tag, 'GET', never);
      const { config, layers } = JSON.parse(String(body)) as Record<string, unknown> as {
        config: { digest: string };
        layers: { digest: string }[];
      };
      const digests = [config, ...layers].map(({ digest }) => digest);
      const pulled: string[] = [];
      const next = async (): Promise<void> => {
        for (let digest = digests.shift(); digest !== undefined; digest = digests.shift()) {
          pulled.push(await this.#read(digest));
        }
      };
      await Promise.all([next(), next(), next()]);
      return pulled;
    } finally {
      opened.pull.close();
    }
  }

  async #read(digest: string): Promise<string> {
    const blob = await this.engine.openBlob(runtime, digest, never);
    const chunks: Buffer[] = [];
    for await (const chunk of blob.read(0, blob.size, never)) {
      chunks.push(Buffer.from(chunk.bytes));
      chunk.release();
    }
    return digestOf(Buffer.concat(chunks));
  }
}

export interface LocalSwarmOptions {
  readonly memoryBytes?: number;
  /** Changes what a node's piece server gives. */
  readonly provider?: (node: number, provider: PieceProvider) => PieceProvider;
  /** What each node's pull engine tells of its pulls. */
  readonly observer?: (node: number) => PullObserver;
  /** Records what the nodes do for each other's traces. */
  readonly spans?: RemoteSpans;
}

/** A swarm whose nodes share this process, one directory shard and one scripted registry. */
export class LocalSwarm {
  readonly nodes: LocalNode[] = [];
  /** What all nodes' registry clients give. */
  readonly registry = new ScriptedClient();
  readonly directory: Directory;
  /** False: the directory is away, for everybody. */
  #present = true;
  readonly #attached = new Map<Agent, DirectoryListener>();
  readonly #listeners = new Set<DirectoryListener>();
  readonly #scope: Scope;
  readonly #options: LocalSwarmOptions;
  #timer: NodeJS.Timeout | undefined;

  constructor(scope: Scope, options: LocalSwarmOptions = {}) {
    this.#scope = scope;
    this.#options = options;
    this.directory = new Directory({
      send: (agent, message) => void turn().then(() => this.#attached.get(agent)?.receive(message)),
      now: systemClock.now,
      random: systemClock.random,
      transferTimeout: 2_000,
      settleTime: 0,
      shards: 1,
    });
    scope.defer(() => clearTimeout(this.#timer));
  }

  /** Bytes of blobs that the registry was asked for by all nodes together. */
  get originBytes(): number {
    return this.nodes.reduce((sum, { client }) => sum + client.askedBytes, 0);
  }

  /** The directory goes away, or comes back. */
  set present(present: boolean) {
    this.#present = present;
    for (const listener of this.#listeners) listener.changed();
  }

  async start(count: number): Promise<readonly LocalNode[]> {
    for (let index = 0; index < count; index += 1) await this.#addNode(index);
    return this.nodes;
  }

  async #addNode(index: number): Promise<void> {
    const scope = this.#scope;
    const optionBlockSize = this.#options.memoryBytes ?? 64 * MiB;
    const config = configSchema.parse({ p2p: { v2: { cache: { mode: 'memory', optionBlockSize } } } });
    const directory = await temporaryFolder(scope, 'local-swarm');
    const store = await createPieceStore({ config: config.p2p.v2.cache, directory, native, log });
    scope.defer(() => store.close());
    const server = await openPiecePort({
      provider: this.#options.provider?.(index, store) ?? store,
      spans: this.#options.spans,
      log,
      security: { kind: 'loopback' },
      port: 0,
      transferTimeout: 2,
    });
    scope.defer(() => server.close());
    const pieces = createPieceClient({ native, connectTimeout: 2, transferTimeout: 2, maxRequests: 128 });
    scope.defer(() => pieces.close());
    const id = `node-${index}`;
    const hello = {
      id,
      address: `127.0.0.1:${server.address.port}`,
      zone: '',
      role: 'agent',
      slots: 12,
      leases: 0,
      pace: 0,
    } as const;
    const swarm = new PeerSwarm({
      client: pieces,
      store,
      connect: (listener) => {
        const agent = this.directory.join(hello);
        if (agent === undefined) throw new Error('the shard is full');
        this.#attached.set(agent, listener);
        this.#listeners.add(listener);
        const isPresent = () => this.#present;
        return {
          say: (message) => this.#say(agent, message),
          get usable() {
            return isPresent();
          },
        };
      },
      membership: { members: () => [], suspect: (peer) => node.unreachable.push(peer) },
      clock: systemClock,
    });
    scope.defer(() => swarm.close());
    const client = new ScriptedClient();
    const node: LocalNode = new LocalNode({ id, client, store, swarm }, this.#options.observer?.(index));
    this.nodes.push(node);
  }

  #say(agent: Agent, message: AgentMessage): void {
    void turn().then(() => {
      if (!this.#present) return;
      this.directory.apply(agent, message);
      this.#arm();
    });
  }

  #arm(): void {
    const next = this.directory.nextDeadline;
    clearTimeout(this.#timer);
    if (next === undefined) return;
    this.#timer = setTimeout(
      () => {
        this.directory.tick();
        this.#arm();
      },
      Math.max(0, next - systemClock.now()),
    );
  }
}
