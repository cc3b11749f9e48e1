import type { Config } from '../config/schema.ts';
import type { Native } from '../native/types.ts';
import type { Logger } from '../telemetry/log.ts';
import type { RemoteSpans } from '../telemetry/remote-spans.ts';
import type { TraceHeaders } from '../telemetry/trace-context.ts';
import type { DirectoryStat } from './directory/directory.ts';
import { firstLeases } from './directory/origins.ts';
import { createDirectoryHost } from './directory-service/host.ts';
import { createDirectoryLinks } from './directory-service/links.ts';
import { createDirectoryServer, type DirectoryServer } from './directory-service/server.ts';
import { tracedHost } from './directory-service/traced-host.ts';
import type { DirectoryHost, DirectoryLinks, DirectoryLinksState } from './directory-service/types.ts';
import { type Identity, identityOf } from './identity.ts';
import { createMembership } from './membership/config.ts';
import type { Member, MemberRole, Membership } from './membership/types.ts';
import type { Hello } from './messages.ts';
import { nodeFacts } from './node-facts.ts';
import type { Directories, DirectoryListener } from './peer-swarm.ts';
import { createSwarmPort } from './port/port.ts';
import { createProbe } from './port/probe.ts';
import type { SwarmPort } from './port/types.ts';
import { askToPreheat } from './preheat/client.ts';
import type { PreheatResult } from './preheat/types.ts';
import { securityOf } from './security.ts';
import { createPieceClient, type PieceClient, type PieceClientStat } from './transfer/client.ts';
import type { TransferSecurity } from './transfer/listen-address.ts';
import {
  createPieceServer,
  type PieceServer,
  type PieceServerOptions,
  type PieceServerStat,
} from './transfer/server.ts';
import type { PieceProvider } from './transfer/types.ts';
import { routeThrough, type TunnelRoute } from './tunnel/route.ts';

/** How often the shards may learn of what was measured of the link. Milliseconds. */
const measuresInterval = 1_000;

export interface SwarmNodeOptions {
  readonly config: Config['p2p'];
  readonly role: MemberRole;
  readonly native: Pick<Native, 'crc32c'>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly log: Logger;
  /** Records what this node does for the traces of others; without it nothing is. */
  readonly spans?: RemoteSpans | undefined;
}

export interface NodeFacts {
  readonly zone: string;
  readonly role: MemberRole;
  readonly client: PieceClientStat;
  readonly shard: DirectoryStat;
  /** Bytes by the requester's address. */
  readonly sentTo: ReadonlyMap<string, number>;
  /** Absent before `listen`, and where no pieces are served. */
  readonly server?: PieceServerStat;
  /** Absent before `connect`. */
  readonly links?: DirectoryLinksState;
  readonly certificateEnd?: Date;
  /** Pieces come from mirrors and registries alone: no directory is asked. */
  readonly alone: boolean;
}

/** A node of the swarm: what it shows to others, and its ways to them. What flows there is its role's business. */
export class SwarmNode {
  readonly identity: Identity;
  readonly membership: Membership;
  readonly client: PieceClient;
  readonly #options: SwarmNodeOptions;
  readonly #security: TransferSecurity;
  /** The shard that this node may have to host. */
  readonly host: DirectoryHost;
  #pieces: PieceServer | undefined;
  #directory: DirectoryServer | undefined;
  #port: SwarmPort | undefined;
  #links: DirectoryLinks | undefined;
  #measures: NodeJS.Timeout | undefined;

  private constructor(
    options: SwarmNodeOptions,
    security: TransferSecurity,
    identity: Identity,
    membership: Membership,
  ) {
    const { config, native, spans } = options;
    this.#options = options;
    this.#security = security;
    this.identity = identity;
    this.membership = membership;
    const host = createDirectoryHost({
      self: identity.id,
      membership,
      transferTimeoutMs: config.transferTimeout * 1000,
    });
    this.host = spans ? tracedHost(host, spans) : host;
    this.client = createPieceClient({
      native,
      connectTimeout: config.connectTimeout,
      transferTimeout: config.transferTimeout,
      maxRequests: config.proxyFsParallels,
      ...(config.ratelimit.download > 0 && { rateLimit: config.ratelimit.download }),
      ...(security.kind === 'tls' && { certificates: security.certificates }),
    });
  }

  /** Undefined with `p2p.membership.source: none`. Rejects where the configuration can't be followed. */
  static async create(options: SwarmNodeOptions): Promise<SwarmNode | undefined> {
    const { config, role, environment, log } = options;
    if (config.membership.source === 'none') return undefined;
    const security = await securityOf(config, log);
    const identity = identityOf(config.membership, {
      port: config.port,
      role,
      configured: config.id,
      facts: nodeFacts(environment),
    });
    const membership = createMembership(config.membership, {
      self: identity.id,
      probe: createProbe(security),
      probeTimeoutMs: config.connectTimeout * 1000,
      logger: log,
      environment,
    });
    return membership && new SwarmNode(options, security, identity, membership);
  }

  /** What is told of this node; the membership's word on its zone counts unless the configuration has one. */
  get #hello(): Hello {
    const { config, role } = this.#options;
    const { id, address } = this.identity;
    const member = this.membership.members().find((each) => each.id === id);
    return {
      id,
      address: member?.address ?? address,
      zone: config.zone ?? member?.zone ?? '',
      role: role === 'mirror' ? 'mirror' : 'agent',
      slots: this.#pieces?.slots ?? 1,
      pace: 0,
      // All that an origin has at first, so that nodes ask the registry themselves only for what no mirror can get.
      leases: role === 'mirror' ? firstLeases : 0,
    };
  }

  /** What it can tell of itself; what is on its way is the schedule's to tell. */
  get facts(): NodeFacts {
    const { config, role } = this.#options;
    const security = this.#security;
    return {
      zone: this.#hello.zone,
      role,
      client: this.client.stat(),
      shard: this.host.stat,
      sentTo: this.#pieces?.sentTo ?? new Map(),
      ...(this.#pieces && { server: this.#pieces.stat() }),
      ...(this.#links && { links: this.#links.state }),
      ...(security.kind === 'tls' && { certificateEnd: security.certificates.notAfter }),
      alone: config.plusMode.downloadPattern === 'source',
    };
  }

  /** Serves the directory's shard, and pieces where there are any. Rejects when the port is not to be had. */
  async listen(provider?: PieceProvider, more: Pick<PieceServerOptions, 'preheat' | 'tunnel'> = {}): Promise<void> {
    const { config, log, spans } = this.#options;
    const { host } = config;
    if (provider !== undefined) {
      this.#pieces = createPieceServer({
        provider,
        log,
        transferTimeout: config.transferTimeout,
        spans,
        ...more,
        ...(config.ratelimit.upload > 0 && { rateLimit: config.ratelimit.upload }),
      });
    }
    this.#directory = createDirectoryServer({ host: this.host, self: this.identity.id, logger: log });
    this.#port = createSwarmPort({
      security: this.#security,
      port: config.port,
      ...(host !== undefined && { host }),
      directory: this.#directory,
      ...(this.#pieces && { pieces: this.#pieces }),
      log,
    });
    await this.#port.listen();
  }

  /** The mirror through which a registry's host is reached; undefined while there is none. */
  routeTo(host: string): TunnelRoute | undefined {
    const mirrors = this.membership.reachable().filter(({ role }) => role === 'mirror');
    return routeThrough(mirrors, host, this.#security);
  }

  /** Has another node bring an image into its cache. Rejects with its own words, or with why it can't be asked. */
  preheat(member: Member, image: string, trace?: TraceHeaders): Promise<PreheatResult> {
    const connectTimeoutMs = this.#options.config.connectTimeout * 1000;
    return askToPreheat(member, image, { security: this.#security, connectTimeoutMs, trace });
  }

  /** Opens the links to the directory's shards. Call it after `listen`. */
  connect(listener: DirectoryListener): Directories {
    const { config, log } = this.#options;
    const links = createDirectoryLinks({
      self: () => this.#hello,
      membership: this.membership,
      security: this.#security,
      local: this.host,
      receive: (message) => listener.receive(message),
      replaced: (moved) => listener.replaced(moved),
      holdings: () => listener.holdings(),
      connectTimeoutMs: config.connectTimeout * 1000,
      logger: log,
    });
    this.#links = links;
    links.onChange(() => listener.changed());
    this.membership.onChange(() => listener.changed());
    let told = { slots: 0, pace: 0 };
    this.#measures = setInterval(() => {
      const now = { slots: this.#pieces?.slots ?? 1, pace: listener.pace() };
      if (now.slots !== told.slots || now.pace !== told.pace) links.update(now);
      told = now;
    }, measuresInterval).unref();
    const hasOthers = () => this.membership.reachable().some(({ id }) => id !== this.identity.id);
    return {
      say: (message) => links.say(message),
      get usable() {
        return links.state.usable !== 'none' && hasOthers();
      },
    };
  }

  /** Leaves the swarm: the others learn at once that it is gone. */
  async close(): Promise<void> {
    clearInterval(this.#measures);
    await this.#links?.close();
    this.#directory?.close();
    await this.#port?.close();
    await this.#pieces?.close();
    this.host.close();
    this.client.close();
    await this.membership.close();
    if (this.#security.kind === 'tls') this.#security.certificates.close();
  }
}
