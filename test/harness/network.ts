import type { Server } from 'node:net';
import { listenBy } from './foreign-listener.ts';
import { createNetworkNamespace, type NetworkNamespace } from './netns.ts';
import { type Command, run } from './process.ts';
import type { Scope } from './scope.ts';

export interface HostOptions {
  readonly name: string;
  /** Of 10^6 bits a second, each way, headers included. */
  readonly megabits: number;
}

/** A machine on the network: a network namespace with one interface. Files and processes are shared with everybody. */
export interface Host {
  readonly name: string;
  /** IPv4. */
  readonly address: string;
  /** Goes before a command that is to run there. */
  readonly prefix: Command;
  /** Has a server of this process listen on a TCP port there. */
  listen(server: Server, port: number): Promise<void>;
  /** Pulls the plug: packets are lost both ways, and nobody is told. */
  disconnect(): Promise<void>;
  reconnect(): Promise<void>;
}

export interface Network {
  readonly hosts: readonly Host[];
  /**
   * TCP payload that `from` has sent to `to` so far, in bytes, by the counters of `from`'s interface: what is sent twice counts
   * twice, headers do not count.
   */
  sent(): Promise<(from: Host, to: Host) => number>;
  /** Loses every packet between hosts of different groups. Hosts that are in no group reach everybody. */
  partition(...groups: readonly (readonly Host[])[]): Promise<void>;
  /** Ends a partition. */
  heal(): Promise<void>;
}

/**
 * Jumbo frames, as in most data centres: of 1500 bytes headers take 4.6 %, and a rate is one of whole frames. Here 0.7 %.
 */
const frameBytes = 9000;
/** Ethernet 14, IPv4 20, TCP 20 and its timestamps 12. */
const headerBytes = 66;
/** The size of a token bucket: it holds two of the 64 KiB that the kernel hands on at once. */
const burst = '128k';
/**
 * What waits before a host's link, in milliseconds at its rate; more is lost, as at a switch's port. A node has a dozen
 * connections at work: with 256 KiB a tenth of all payload was sent twice.
 */
const queueMs = 20;
const leastQueueBytes = 1024 * 1024;
const queuedPackets = 1000;

interface Member extends Host {
  readonly namespace: NetworkNamespace;
  /** Of the bridge. */
  readonly port: string;
  readonly queue: string;
}

/**
 * Makes hosts on one switch, each limited both ways, gone when the scope closes. The switch is a bridge in a namespace of its
 * own, so nothing is seen of it outside, and two of these networks never meet. Needs root.
 */
export async function createNetwork(scope: Scope, options: readonly HostOptions[]): Promise<Network> {
  const hub = await createNetworkNamespace(scope);
  await ip(hub, ['link add name switch type bridge', 'link set switch up']);
  const members: Member[] = [];
  for (const [index, { name, megabits }] of options.entries()) {
    const namespace = await createNetworkNamespace(scope);
    const port = `port${index}`;
    await ip(hub, [
      `link add ${port} mtu ${frameBytes} type veth peer name eth0 mtu ${frameBytes} netns ${namespace.name}`,
      `link set ${port} master switch up`,
    ]);
    const address = addressOf(index);
    await ip(namespace, [`address add ${address}/16 dev eth0 noprefixroute`, 'link set eth0 up', route(address)]);
    await tc(hub, [downlink(port, megabits)]);
    await tc(namespace, uplink(megabits, options.length));
    members.push({
      name,
      address,
      prefix: namespace.prefix,
      namespace,
      port,
      queue: queueOf(index),
      listen: (server, tcpPort) => listenBy(namespace.prefix, server, tcpPort),
      disconnect: () => ip(hub, [`link set ${port} down`]),
      reconnect: () => ip(hub, [`link set ${port} up`]),
    });
  }

  const lost = async (groups: readonly (readonly Host[])[]): Promise<void> => {
    const groupOf = (host: Host): number => groups.findIndex((group) => group.includes(host));
    for (const from of members) {
      const apart = (to: Member): boolean => groupOf(from) >= 0 && groupOf(to) >= 0 && groupOf(from) !== groupOf(to);
      // A queue without room loses everything.
      const limits = members.map((to) => queue(to.queue, apart(to) ? 0 : queuedPackets));
      await tc(from.namespace, limits);
    }
  };
  return {
    hosts: members,
    async sent() {
      const counted = new Map<Host, string>();
      for (const from of members) {
        counted.set(from, await run(['tc', '-n', from.namespace.name, '-s', 'class', 'show', 'dev', 'eth0']));
      }
      return (from, to) => payload(counted.get(from) ?? '', members.find((member) => member === to)?.queue ?? '');
    },
    partition: (...groups) => lost(groups),
    heal: () => lost([]),
  };
}

function addressOf(index: number): string {
  return `10.77.${Math.floor(index / 250)}.${(index % 250) + 1}`;
}

/** To every other host. Linux' own default for congestion, whatever this machine's is: figures are then comparable. */
function route(address: string): string {
  return `route add 10.77.0.0/16 dev eth0 src ${address} congctl cubic`;
}

/** What leaves a host waits in one queue for each destination, which are served in turn: so each is counted, too. */
function uplink(megabits: number, hosts: number): string[] {
  const lines = [
    'qdisc add dev eth0 root handle 1: htb',
    `class add dev eth0 parent 1: classid 1:1 htb rate ${megabits}mbit burst ${burst} cburst ${burst} quantum 65536`,
  ];
  for (let index = 0; index < hosts; index += 1) {
    const name = queueOf(index);
    const share = `rate 8kbit ceil ${megabits}mbit burst ${burst} cburst ${burst} quantum 65536`;
    lines.push(
      `class add dev eth0 parent 1:1 classid 1:${name} htb ${share}`,
      queue(name, queuedPackets).replace('change', 'add'),
      `filter add dev eth0 parent 1: protocol ip prio 1 u32 match ip dst ${addressOf(index)}/32 flowid 1:${name}`,
    );
  }
  return lines;
}

/** What comes to a host waits in one queue, as at a switch's port. */
function downlink(port: string, megabits: number): string {
  const limit = Math.max(leastQueueBytes, Math.round((megabits * 1e6 * queueMs) / 8 / 1000));
  return `qdisc add dev ${port} root tbf rate ${megabits}mbit burst ${burst} limit ${limit}`;
}

function queue(name: string, packets: number): string {
  return `qdisc change dev eth0 parent 1:${name} handle ${name}: pfifo limit ${packets}`;
}

/** The class of what goes to the host of that index; a hexadecimal number, as everywhere in tc. */
function queueOf(index: number): string {
  return (16 + index).toString(16);
}

/** Reads ` Sent <bytes> bytes <frames> pkt` of one class from what `tc -s class show` says. */
function payload(text: string, queueName: string): number {
  const found = new RegExp(`^class htb 1:${queueName} [^\\n]*\\n Sent (\\d+) bytes (\\d+) pkt`, 'm').exec(text);
  if (found === null) throw new Error(`tc tells nothing of class 1:${queueName}:\n${text}`);
  return Number(found[1]) - headerBytes * Number(found[2]);
}

async function ip(namespace: NetworkNamespace, lines: readonly string[]): Promise<void> {
  await run(['ip', '-n', namespace.name, '-batch', '-'], { input: lines.join('\n') });
}

async function tc(namespace: NetworkNamespace, lines: readonly string[]): Promise<void> {
  await run(['tc', '-n', namespace.name, '-batch', '-'], { input: lines.join('\n') });
}
