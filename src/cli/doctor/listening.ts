import ipaddr from 'ipaddr.js';
import { readBelow, socketOwners } from './proc.ts';

/** A TCP socket that listens. */
export interface Listening {
  /** Normalized; `::` and `0.0.0.0` for every address. */
  readonly address: string;
  readonly port: number;
  readonly inode: number;
}

export interface Owner {
  readonly pid: number;
  readonly args: readonly string[];
}

/** The state of a socket that listens (include/net/tcp_states.h). */
const listen = '0A';

/** The sockets that listen on a port in this network namespace. */
export async function listeningOn(root: string, ports: ReadonlySet<number>): Promise<readonly Listening[]> {
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readBelow(root, `proc/net/${name}`)));
  return tables.flatMap((table) => parseTable(table ?? '')).filter(({ port }) => ports.has(port));
}

/** Those that listen, of /proc/net/tcp or tcp6 (proc(5)). */
export function parseTable(table: string): Listening[] {
  return table.split('\n').flatMap((line) => {
    const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/);
    const [hex = '', port = ''] = local.split(':');
    if (state !== listen) return [];
    return [{ address: parseHexAddress(hex), port: Number.parseInt(port, 16), inode: Number(inode) }];
  });
}

/** The kernel prints words of 32 bits as the machine has them: with the last byte first on amd64 and arm64. */
function parseHexAddress(hex: string): string {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => [...Buffer.from(word, 'hex')].reverse());
  const address = ipaddr.fromByteArray(bytes);
  const plain =
    address.kind() === 'ipv6' && (address as ipaddr.IPv6).isIPv4MappedAddress()
      ? (address as ipaddr.IPv6).toIPv4Address()
      : address;
  return plain.toString();
}

/** Whether a socket on `address` keeps another one from listening on `wanted`; undefined: on every address. */
export function stands(address: string, wanted: string | undefined): boolean {
  const everywhere = (text: string) => text === '0.0.0.0' || text === '::';
  if (wanted === undefined || everywhere(wanted) || everywhere(address)) return true;
  const name = wanted === 'localhost' ? '127.0.0.1' : wanted;
  return ipaddr.isValid(name) && ipaddr.process(name).toString() === address;
}

/** The processes that have the sockets, by inode; `refused` where that is root's to know. */
export async function ownersOf(
  root: string,
  sockets: readonly Listening[],
): Promise<ReadonlyMap<number, Owner> | 'refused'> {
  const pids = await socketOwners(root, new Set(sockets.map(({ inode }) => inode)));
  if (pids === 'refused') return 'refused';
  const owners = new Map<number, Owner>();
  for (const [inode, pid] of pids) {
    const args = (await readBelow(root, `proc/${pid}/cmdline`).catch(() => '')) ?? '';
    owners.set(inode, { pid, args: args.replace(/\0+$/, '').split('\0') });
  }
  return owners;
}
