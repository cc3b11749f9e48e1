import { createDirectoryHost } from '../../src/swarm/directory-service/host.ts';
import { createDirectoryLinks } from '../../src/swarm/directory-service/links.ts';
import { createDirectoryServer, type DirectoryServer } from '../../src/swarm/directory-service/server.ts';
import type { DirectoryHost, DirectoryLinks } from '../../src/swarm/directory-service/types.ts';
import { startMembership } from '../../src/swarm/membership/membership.ts';
import type { Member, MemberRole, Membership } from '../../src/swarm/membership/types.ts';
import type { AgentMessage, Have, Hello, ShardMessage } from '../../src/swarm/messages.ts';
import { createSwarmPort } from '../../src/swarm/port/port.ts';
import { createProbe } from '../../src/swarm/port/probe.ts';
import type { SwarmPort } from '../../src/swarm/port/types.ts';
import type { TransferSecurity } from '../../src/swarm/transfer/listen-address.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { keptLog } from './log-lines.ts';
import type { Scope } from './scope.ts';
import { waitFor } from './wait.ts';

const log = createLogger({ name: 'test', level: 'silent' });

export interface NodeOptions {
  readonly role?: MemberRole;
  readonly security?: TransferSecurity;
  readonly silenceMs?: number;
  readonly connectTimeoutMs?: number;
  readonly helloTimeoutMs?: number;
  readonly firstProbeMs?: number;
  readonly port?: number;
  /** False: it has a shard and attends to none. */
  readonly links?: boolean;
}

/** Nodes in one process that know each other by a list, and speak over real sockets of loopback. */
export class DirectoryNodes {
  readonly #scope: Scope;
  readonly #updates = new Set<(members: readonly Member[]) => void>();
  readonly members: Member[] = [];

  constructor(scope: Scope) {
    this.#scope = scope;
  }

  /** Starts nodes; whoever is there already learns of them once all listen. */
  async start(ids: readonly string[], options: NodeOptions = {}): Promise<DirectoryNode[]> {
    const nodes = await Promise.all(ids.map((id) => this.#open(id, options)));
    for (const node of nodes) this.members.push(node.member);
    for (const node of nodes) node.join(this.members, this.#updates);
    this.announce();
    return nodes;
  }

  /** Tells every node who belongs to the swarm. */
  announce(members: readonly Member[] = this.members): void {
    for (const update of this.#updates) update([...members]);
  }

  /** From now on the node is reached by another address. */
  reroute(id: string, address: string): void {
    const at = this.members.findIndex((member) => member.id === id);
    const member = this.members[at];
    if (member === undefined) throw new Error(`there is no ${id}`);
    this.members[at] = { ...member, address };
    this.announce();
  }

  async #open(id: string, options: NodeOptions): Promise<DirectoryNode> {
    const node = new DirectoryNode(id, options);
    await node.listen();
    this.#scope.defer(() => node.stop());
    return node;
  }
}

export class DirectoryNode {
  readonly id: string;
  readonly received: ShardMessage[] = [];
  /** By blob and piece: as the schedule would, asked again when their shard has changed. */
  readonly wants = new Map<string, AgentMessage & { readonly kind: 'want' }>();
  readonly holdings = new Map<string, Omit<Have, 'kind'>>();
  readonly server: DirectoryServer;
  readonly membership: Membership;
  readonly host: DirectoryHost;
  /** What the links have logged. */
  readonly linksLog = keptLog();
  readonly #role: MemberRole;
  readonly #security: TransferSecurity;
  readonly #options: NodeOptions;
  #port: SwarmPort;
  #links: DirectoryLinks | undefined;
  #address = '';
  #update: (members: readonly Member[]) => void = () => undefined;

  constructor(id: string, options: NodeOptions) {
    this.id = id;
    this.#options = options;
    this.#role = options.role ?? 'agent';
    this.#security = options.security ?? { kind: 'loopback' };
    const { firstProbeMs = 50 } = options;
    this.membership = startMembership({
      self: id,
      source: {
        start: (update) => {
          this.#update = update;
        },
        failure: () => undefined,
        close: async () => undefined,
      },
      probe: createProbe(this.#security),
      probeTimeoutMs: 5_000,
      logger: log,
      suspicion: { firstProbeMs, longestProbeMs: Math.max(500, firstProbeMs), probationMs: 1_000 },
    });
    this.host = createDirectoryHost({
      self: id,
      membership: this.membership,
      transferTimeoutMs: 15_000,
      settleTimeMs: 50,
    });
    const { silenceMs, helloTimeoutMs } = options;
    this.server = createDirectoryServer({
      host: this.host,
      self: id,
      logger: log,
      ...(silenceMs !== undefined && { silenceMs }),
      ...(helloTimeoutMs !== undefined && { helloTimeoutMs }),
    });
    this.#port = this.#newPort(options.port ?? 0);
  }

  get links(): DirectoryLinks {
    if (this.#links === undefined) throw new Error(`${this.id} has no links`);
    return this.#links;
  }

  get address(): string {
    return this.#address;
  }

  get member(): Member {
    return { id: this.id, address: this.#address, zone: '', role: this.#role };
  }

  get hello(): Hello {
    const role = this.#role === 'mirror' ? 'mirror' : 'agent';
    return { id: this.id, address: this.#address, zone: '', role, slots: 12, leases: 0, pace: 0 };
  }

  async listen(): Promise<void> {
    await this.#port.listen();
    this.#address = `127.0.0.1:${this.#port.address.port}`;
  }

  join(members: readonly Member[], updates: Set<(members: readonly Member[]) => void>): void {
    updates.add((all) => this.#update(all));
    this.#update([...members]);
    if (this.#role === 'scheduler' || this.#options.links === false) return;
    const { silenceMs, connectTimeoutMs = 5_000 } = this.#options;
    this.#links = createDirectoryLinks({
      self: () => this.hello,
      membership: this.membership,
      security: this.#security,
      local: this.host,
      receive: (message) => {
        this.received.push(message);
        this.wants.delete(`${message.blob} ${message.piece}`);
      },
      replaced: (moved) => {
        for (const want of [...this.wants.values()]) if (moved(want.blob, want.piece)) this.#links?.say(want);
      },
      holdings: () => this.holdings.values(),
      connectTimeoutMs,
      logger: this.linksLog.log,
      ...(silenceMs !== undefined && { silenceMs }),
    });
  }

  want(blob: string, piece: number, lease = true): void {
    const want = { kind: 'want', blob, piece, lease, urgent: false, source: 'registry.test/app' } as const;
    this.wants.set(`${blob} ${piece}`, want);
    this.links.say(want);
  }

  have(blob: string, piece: number, crc32c = 1): void {
    const holding = { blob, piece, crc32c, verified: false };
    this.holdings.set(`${blob} ${piece}`, holding);
    this.links.say({ kind: 'have', ...holding });
  }

  decisionOn(blob: string, piece: number): Promise<ShardMessage> {
    return waitFor(() => this.received.find((message) => message.blob === blob && message.piece === piece), {
      what: `a decision for ${this.id} on piece ${piece}`,
    });
  }

  linked(count: number): Promise<boolean> {
    const what = `${count} links of ${this.id}`;
    return waitFor(() => this.links.state.linked === count && this.links.state.shards === count, { what });
  }

  suspects(id: string): Promise<boolean> {
    const what = `${this.id} to suspect ${id}`;
    return waitFor(() => !this.membership.reachable().some((member) => member.id === id), { what });
  }

  /** The port and all its connections are gone, as when the process has died; the links of the node, too. */
  async kill(): Promise<void> {
    this.server.close();
    await this.#port.close();
    await this.#links?.close();
  }

  /** The port is there again, with the same shard behind it. */
  async revive(): Promise<void> {
    this.#port = this.#newPort(Number(this.#address.split(':')[1]));
    await this.#port.listen();
  }

  async stop(): Promise<void> {
    await this.kill();
    this.host.close();
    await this.membership.close();
  }

  #newPort(port: number): SwarmPort {
    return createSwarmPort({ security: this.#security, host: '127.0.0.1', port, directory: this.server, log });
  }
}
