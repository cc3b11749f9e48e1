import type { Config } from '../../config/schema.ts';
import { needsRoot, ok, problem, skipped, warning } from './findings.ts';
import { type Listening, listeningOn, type Owner, ownersOf, stands } from './listening.ts';
import { readBelow } from './proc.ts';
import type { Check, Finding } from './types.ts';

/** Whether the agent has its ports, or could have them. */
export const portsCheck: Check = {
  group: 'ports',
  about: 'ports',
  boundMs: 15_000,
  run: async ({ config, root, agent, isRoot }) => {
    const wanted = wantedPorts(config);
    const numbers = wanted.flatMap(({ port }) => (port === undefined ? [] : [port]));
    const sockets = await listeningOn(root, new Set(numbers));
    const owners = await ownersOf(root, sockets);
    const running = { engine: agent.engine !== undefined, supervisor: agent.status !== undefined };
    const range = await readBelow(root, 'proc/sys/net/ipv4/ip_local_port_range');
    const reserved = await readBelow(root, 'proc/sys/net/ipv4/ip_local_reserved_ports');
    return [
      ...wanted.map((port) => judgePort(port, { sockets, owners, running, isRoot })),
      ...judgeEphemeral(range ?? '', reserved ?? '', numbers),
    ];
  },
};

/** A port that the configuration has the agent listen on. */
export interface WantedPort {
  readonly about: string;
  readonly key: string;
  /** Undefined: none, `why` says so. */
  readonly port?: number;
  readonly why?: string;
  /** Undefined: every address. */
  readonly host?: string | undefined;
  readonly by: 'engine' | 'supervisor';
}

export function wantedPorts({ p2p, mirror, telemetry }: Config): readonly WantedPort[] {
  const alone = p2p.membership.source === 'none' ? 'no swarm: p2p.membership.source is none' : undefined;
  const mirrorsAlone =
    p2p.plusMode.downloadPattern === 'source'
      ? 'no pieces are given: p2p.plusMode.downloadPattern is source'
      : undefined;
  const why = alone ?? mirrorsAlone;
  const bare = p2p.tls === 'auto' && p2p.certificates.certFile === undefined;
  const peers = why === undefined ? { port: p2p.port, host: p2p.host ?? (bare ? '127.0.0.1' : undefined) } : { why };
  const told =
    telemetry.port === 0 ? { why: 'not served: telemetry.port is 0' } : { port: telemetry.port, host: telemetry.host };
  return [
    { about: 'peers', key: 'p2p.port', by: 'engine', ...peers },
    { about: 'mirror', key: 'mirror.port', by: 'engine', port: mirror.port, host: '127.0.0.1' },
    { about: 'telemetry', key: 'telemetry.port', by: 'supervisor', ...told },
  ];
}

export interface Occupancy {
  readonly sockets: readonly Listening[];
  readonly owners: ReadonlyMap<number, Owner> | 'refused';
  /** Which of the agent's processes answer. */
  readonly running: { readonly engine: boolean; readonly supervisor: boolean };
  readonly isRoot: boolean;
}

export function judgePort({ about, key, port, why, host, by }: WantedPort, occupancy: Occupancy): Finding {
  if (port === undefined) return skipped(about, why ?? 'not configured');
  const name = `${host ?? 'every address'}, port ${port}`;
  const { sockets, owners, running, isRoot } = occupancy;
  const found = sockets.filter((socket) => socket.port === port && stands(socket.address, host));
  if (found.length === 0) {
    if (!running[by]) return ok(about, `${name} is free`);
    return problem(
      about,
      `the agent runs, but nobody listens on ${name}`,
      'journalctl --unit shoal says why; systemctl restart shoal',
    );
  }
  if (owners === 'refused' && !isRoot) return needsRoot(about, `who listens on ${name} is root's to know`);
  const held = found.map(({ inode }) => (owners === 'refused' ? undefined : owners.get(inode)));
  const stranger = held.findIndex((owner) => owner !== undefined && !isShoal(owner.args));
  if (stranger !== -1) {
    const { pid, args } = held[stranger] as Owner;
    const says = `${name} is taken by process ${pid}, ${shortened(args)} (${found[stranger]?.address}:${port})`;
    return problem(
      about,
      says,
      `stop that process, or set ${key} to another port${key === 'mirror.port' ? ' and run shoal runtime configure' : ''}`,
    );
  }
  const owner = held.find((each) => each !== undefined);
  if (owner !== undefined) return ok(about, `${name} is Shoal's (process ${owner.pid})`);
  // A process of another PID namespace, or of the kernel.
  if (running[by]) return ok(about, `${name} is listened on`);
  return problem(
    about,
    `${name} is taken by a process that is not to be seen from here`,
    `ss --tcp --listening --processes 'sport = :${port}' on the host says who`,
  );
}

/** `shoal agent` and the processes that it starts, from the package or from the sources. */
export function isShoal(args: readonly string[]): boolean {
  const at = args.findIndex((arg) => /(^|\/)(shoal|cli\/main\.[jt]s|shoal\/[^/]+\/dist\/main\.js)$/.test(arg));
  return at !== -1 && ['agent', 'engine', 'mirror', 'scheduler'].includes(args[at + 1] ?? '');
}

/** `range`, `reserved`: ip_local_port_range and ip_local_reserved_ports (ip-sysctl). */
export function judgeEphemeral(range: string, reserved: string, ports: readonly number[]): Finding[] {
  const [first = 0, last = 0] = range.trim().split(/\s+/).map(Number);
  const kept = reserved
    .trim()
    .split(',')
    .map((part) => part.split('-').map(Number));
  const isKept = (port: number) => kept.some(([from = 0, to = from]) => port >= from && port <= to);
  const exposed = ports.filter((port) => port >= first && port <= last && !isKept(port));
  if (exposed.length === 0) return [];
  const says = `${exposed.join(', ')} may be given to any outgoing connection (net.ipv4.ip_local_port_range is ${first}-${last}): the agent then can't listen there`;
  const all = [reserved.trim(), ...exposed].filter((part) => part !== '').join(',');
  const mend = `sysctl --write net.ipv4.ip_local_reserved_ports=${all}; to keep it, put that into /etc/sysctl.d/90-shoal.conf`;
  return [warning('outgoing ports', says, mend)];
}

function shortened(args: readonly string[]): string {
  const text = args.join(' ').replace(/[^\x20-\x7e]/g, '?');
  return text.length > 60 ? `${text.slice(0, 57)}...` : text || 'without a name';
}
