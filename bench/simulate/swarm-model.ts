import type { Agent } from '../../src/swarm/directory/agent.ts';
import { Directory } from '../../src/swarm/directory/directory.ts';
import type { AgentMessage, Hello, ShardMessage } from '../../src/swarm/messages.ts';
import { type BlobPlacement, Placement } from '../../src/swarm/placement.ts';
import { defaultUploadSlots, type ScheduleLimits } from '../../src/swarm/schedule.ts';
import { EventQueue } from './event-queue.ts';
import { type ImageLayout, imageBytes } from './image.ts';
import { Network } from './network.ts';
import { SimulatedNode } from './node.ts';
import { seededRandom } from './random.ts';

export interface Scenario {
  readonly nodes: number;
  readonly image: ImageLayout;
  /** Bytes per millisecond, each way. */
  readonly nodeBandwidth: number;
  readonly originBandwidth: number;
  readonly zones: number;
  /** Share of the nodes with a tenth of the bandwidth. */
  readonly slowShare: number;
  /** Share of the nodes that leave without a word, and as many that join, in a minute. */
  readonly churnPerMinute: number;
  /** Nodes start at random times within so many milliseconds. */
  readonly stagger: number;
  readonly cacheBytes: number;
  readonly limits: ScheduleLimits;
  readonly seed: number;
}

export interface Outcome {
  /** Milliseconds from its own start to its last byte, of every living node with full bandwidth that finished. */
  readonly durations: number[];
  readonly originBytes: number;
  readonly crossZoneBytes: number;
  readonly busy: number;
  readonly requests: number;
  readonly messages: number;
  /** [milliseconds, share of all bytes that nodes have to receive] */
  readonly curve: readonly (readonly [number, number])[];
}

/** One-way delays of control messages. Milliseconds: a data center, its neighbour zone, a registry. */
export const latency = { zone: 0.25, cross: 1, origin: 5 } as const;
/** How long membership takes to tell everyone that a node came or went. Milliseconds. */
const membershipDelay = 2_000;
export const transferTimeout = 15_000;
export const connectTimeout = 5_000;
const settleTime = 500;
/** Bandwidth of a slow node, as a share of the others'. */
export const slowness = 0.1;

interface Shard {
  readonly host: SimulatedNode;
  readonly directory: Directory;
  /** The agents of its streams, by the nodes' numbers, and the nodes, by the agents' slots. */
  readonly agents: (Agent | undefined)[];
  readonly nodes: (SimulatedNode | undefined)[];
  armed: number;
}

/** The whole swarm: nodes, their network, the directory's shards, and the messages between them. */
export class SwarmModel {
  readonly scenario: Scenario;
  readonly queue = new EventQueue();
  readonly network = new Network();
  readonly random: () => number;
  readonly nodes: SimulatedNode[] = [];
  readonly origin: number;
  readonly nodesByAddress = new Map<string, SimulatedNode>();
  now = 0;
  originBytes = 0;
  crossZoneBytes = 0;
  busy = 0;
  requests = 0;
  messages = 0;
  received = 0;
  /** Nodes that were there from the start and have not finished: the run ends with the last of them. */
  readonly #pulling = new Set<SimulatedNode>();
  readonly #shards = new Map<string, Shard>();
  #placement = new Placement([]);
  #blobs = new Map<string, BlobPlacement>();
  #serial = 0;

  constructor(scenario: Scenario) {
    this.scenario = scenario;
    this.random = seededRandom(scenario.seed);
    this.origin = this.network.addNode(scenario.originBandwidth, 0);
    for (let count = 0; count < scenario.nodes; count += 1) this.#pulling.add(this.#addNode());
    this.#placeShards();
    for (const node of this.nodes) this.queue.at(settleTime + this.random() * scenario.stagger, () => node.start());
    if (scenario.churnPerMinute > 0) this.#churn();
  }

  run(): Outcome {
    const { image, nodeBandwidth, stagger } = this.scenario;
    const step = Math.max(0.25, image.pieceBytes / nodeBandwidth / 4);
    const total = this.scenario.nodes * imageBytes(image);
    const curve: [number, number][] = [];
    let sampled = 0;
    while (this.#pulling.size > 0) {
      const end = this.now + step;
      this.network.step(step, (flow, after) => {
        this.queue.at(this.now + after, () => {
          if (flow.place < 0) return;
          this.network.stop(flow);
          flow.done();
        });
      });
      this.queue.runUntil(end, (time) => {
        this.now = time;
      });
      this.now = end;
      if (this.now - sampled > step * 32) {
        sampled = this.now;
        curve.push([this.now - settleTime, this.received / total]);
      }
      if (this.now > 3_600_000 + stagger)
        throw new Error(`${this.#pulling.size} nodes have not finished within an hour`);
    }
    return {
      durations: this.nodes
        .filter((node) => node.alive && !node.slow && !Number.isNaN(node.finishedAt))
        .map((node) => node.finishedAt - node.startedAt),
      originBytes: this.originBytes,
      crossZoneBytes: this.crossZoneBytes,
      busy: this.busy,
      requests: this.requests,
      messages: this.messages,
      curve,
    };
  }

  /** The node has the whole image, or is gone. */
  settled(node: SimulatedNode): void {
    this.#pulling.delete(node);
  }

  delay(one: SimulatedNode, other: SimulatedNode): number {
    return one.zone === other.zone ? latency.zone : latency.cross;
  }

  /** From a node to the shard that its placement names. */
  say(node: SimulatedNode, message: AgentMessage): void {
    if (message.kind === 'spoiled') return;
    const id = this.#blob(message.blob).shardOf(message.piece);
    const shard = id === undefined ? undefined : this.#shards.get(id);
    if (shard === undefined) return;
    this.messages += 1;
    this.queue.at(this.now + this.delay(node, shard.host), () => {
      const agent = shard.agents[node.number];
      if (agent === undefined || !shard.host.alive) return;
      if (agent.hello.pace !== node.pace) shard.directory.update(agent, { pace: node.pace });
      shard.directory.apply(agent, message);
      this.#arm(shard);
    });
  }

  #blob(digest: string): BlobPlacement {
    let blob = this.#blobs.get(digest);
    if (blob === undefined) {
      blob = this.#placement.blob(digest);
      this.#blobs.set(digest, blob);
    }
    return blob;
  }

  #addNode(): SimulatedNode {
    const { scenario } = this;
    const serial = this.#serial;
    this.#serial += 1;
    const slow = this.random() < scenario.slowShare;
    const bandwidth = scenario.nodeBandwidth * (slow ? slowness : 1);
    const hello: Hello = {
      id: `10.${serial >>> 16}.${(serial >>> 8) & 255}.${serial & 255}:65001`,
      address: `10.${serial >>> 16}.${(serial >>> 8) & 255}.${serial & 255}:65001`,
      zone: scenario.zones > 1 ? `zone-${serial % scenario.zones}` : '',
      role: 'agent',
      slots: Math.max(1, Math.round(defaultUploadSlots * (slow ? slowness : 1))),
      leases: 0,
      pace: 0,
    };
    const node = new SimulatedNode(this, serial, hello, this.network.addNode(bandwidth, bandwidth), slow);
    this.nodes.push(node);
    this.nodesByAddress.set(hello.address, node);
    return node;
  }

  /** Everyone learns the members of now: shards appear and vanish, and what moved is announced and asked for again. */
  #placeShards(): void {
    const former = this.#blobs;
    const living = this.nodes.filter((node) => node.alive);
    this.#placement = new Placement(living.map((node) => ({ id: node.hello.id, scheduler: false })));
    this.#blobs = new Map();
    const hosts = new Set(this.#placement.directory);
    let changed = false;
    for (const id of this.#shards.keys()) if (!hosts.has(id)) changed = this.#shards.delete(id) || changed;
    for (const id of hosts) {
      const host = this.nodesByAddress.get(id);
      if (host === undefined || this.#shards.has(id)) continue;
      this.#shards.set(id, this.#createShard(host));
      changed = true;
    }
    for (const shard of this.#shards.values()) {
      for (const node of living) if (shard.agents[node.number] === undefined) this.#connect(shard, node);
      if (changed) shard.directory.membershipChanged(hosts.size);
      this.#arm(shard);
    }
    if (!changed) return;
    const moved = (blob: string, piece: number): boolean =>
      former.get(blob)?.shardOf(piece) !== this.#blob(blob).shardOf(piece);
    for (const node of living) node.membershipChanged(moved);
  }

  #createShard(host: SimulatedNode): Shard {
    const nodes: (SimulatedNode | undefined)[] = [];
    const directory = new Directory({
      now: () => this.now,
      random: this.random,
      transferTimeout,
      settleTime,
      shards: this.#placement.directory.length,
      send: (agent, message) => {
        const node = nodes[agent.slot];
        if (node !== undefined) this.#deliver(host, node, message);
      },
    });
    return { host, directory, agents: [], nodes, armed: Number.POSITIVE_INFINITY };
  }

  #connect(shard: Shard, node: SimulatedNode): void {
    const agent = shard.directory.join(node.hello);
    if (agent === undefined) throw new Error('a shard has no room for a node');
    shard.agents[node.number] = agent;
    shard.nodes[agent.slot] = node;
  }

  #deliver(host: SimulatedNode, node: SimulatedNode, message: ShardMessage): void {
    this.messages += 1;
    this.queue.at(this.now + this.delay(host, node), () => node.decided(message));
  }

  #arm(shard: Shard): void {
    const next = shard.directory.nextDeadline;
    if (next === undefined || next >= shard.armed) return;
    shard.armed = next;
    this.queue.at(next, () => {
      if (shard.armed !== next) return;
      shard.armed = Number.POSITIVE_INFINITY;
      shard.directory.tick();
      this.#arm(shard);
    });
  }

  #churn(): void {
    const { nodes, churnPerMinute } = this.scenario;
    this.queue.at(this.now + 60_000 / (nodes * churnPerMinute), () => {
      const living = this.nodes.filter((node) => node.alive);
      const leaver = living[Math.floor(this.random() * living.length)];
      leaver?.die();
      const joiner = this.#addNode();
      this.queue.at(this.now + membershipDelay, () => {
        if (leaver !== undefined) this.#forget(leaver);
        this.#placeShards();
        joiner.start();
      });
      this.#churn();
    });
  }

  /** The streams of a dead node end when membership drops it. */
  #forget(node: SimulatedNode): void {
    for (const shard of this.#shards.values()) {
      const agent = shard.agents[node.number];
      if (agent === undefined) continue;
      shard.agents[node.number] = undefined;
      shard.directory.leave(agent);
    }
  }
}
