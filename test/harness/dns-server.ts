import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, isIPv6, type Server } from 'node:net';
import type { Scope } from './scope.ts';

export type DnsRecord =
  | { readonly type: 'A' | 'AAAA'; readonly address: string; readonly ttl: number }
  | { readonly type: 'SRV'; readonly target: string; readonly port: number; readonly ttl: number };

/** How the server misbehaves for a name. */
export type DnsTrouble = 'servfail' | 'refused' | 'silent' | 'garbage';

const typeNumbers = { A: 1, AAAA: 28, SRV: 33 } as const;
const optNumber = 41;
const inClass = 1;
const flags = { response: 0x8400, truncated: 0x0200 } as const;
const codes = { none: 0, servfail: 2, nxdomain: 3, refused: 5 } as const;
/** RFC 1035: UDP messages without EDNS. */
const smallestUdp = 512;
const headerLength = 12;

/**
 * A DNS server on loopback, UDP and TCP on one port: answers A, AAAA and SRV from memory, as RFC 1035 and 2782 have them.
 * UDP answers that don't fit are truncated, so that the client asks again over TCP.
 */
export class DnsServer {
  readonly records = new Map<string, DnsRecord[]>();
  readonly troubles = new Map<string, DnsTrouble>();
  /** `<name> <type number> <udp|tcp>` of every question. */
  readonly questions: string[] = [];
  address = '';

  /** The answer to a message; undefined for none. `limit` in bytes. */
  answer(message: Buffer, transport: 'udp' | 'tcp'): Buffer | undefined {
    const { name, type, end } = readQuestion(message);
    this.questions.push(`${name} ${type} ${transport}`);
    const trouble = this.troubles.get(name);
    if (trouble === 'silent') return undefined;
    if (trouble === 'garbage') return Buffer.concat([message.subarray(0, 2), Buffer.alloc(30, 0xff)]);
    const question = message.subarray(headerLength, end);
    const known = this.records.get(name);
    const code = trouble ? codes[trouble] : known === undefined ? codes.nxdomain : codes.none;
    const records = trouble ? [] : (known ?? []).filter((record) => typeNumbers[record.type] === type);
    const whole = encode(message, question, code, records, 0);
    if (transport === 'tcp' || whole.length <= largestUdp(message, end)) return whole;
    return encode(message, question, code, [], flags.truncated);
  }
}

export async function startDnsServer(scope: Scope): Promise<DnsServer> {
  const dns = new DnsServer();
  const tcp = serveTcp(dns);
  tcp.listen(0, '127.0.0.1');
  await once(tcp, 'listening');
  const { port } = tcp.address() as AddressInfo;
  const udp = serveUdp(dns);
  scope.defer(() => {
    udp.close();
    tcp.close();
  });
  udp.bind(port, '127.0.0.1');
  await once(udp, 'listening');
  dns.address = `127.0.0.1:${port}`;
  return dns;
}

function serveUdp(dns: DnsServer): Socket {
  const socket = createSocket('udp4');
  socket.on('message', (message, from) => {
    const answer = dns.answer(message, 'udp');
    if (answer !== undefined) socket.send(answer, from.port, from.address);
  });
  return socket;
}

function serveTcp(dns: DnsServer): Server {
  return createServer((connection) => {
    connection.on('error', () => {});
    let received = Buffer.alloc(0);
    connection.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE()) {
        const length = received.readUInt16BE();
        const answer = dns.answer(received.subarray(2, 2 + length), 'tcp');
        received = received.subarray(2 + length);
        if (answer !== undefined) connection.write(Buffer.concat([uint16(answer.length), answer]));
      }
    });
  });
}

/** `end` is behind the question's type and class. */
function readQuestion(message: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = [];
  let at = headerLength;
  for (let length = message.readUInt8(at); length > 0; length = message.readUInt8(at)) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), type: message.readUInt16BE(at + 1), end: at + 5 };
}

/** The size in an EDNS record behind the question (RFC 6891): root name, type 41, and the size as its class. */
function largestUdp(message: Buffer, end: number): number {
  const edns = message.readUInt16BE(10) > 0 && message.readUInt16BE(end + 1) === optNumber;
  return edns ? Math.max(smallestUdp, message.readUInt16BE(end + 3)) : smallestUdp;
}

function encode(message: Buffer, question: Buffer, code: number, records: readonly DnsRecord[], more: number): Buffer {
  const recursionDesired = message.readUInt16BE(2) & 0x0100;
  const header = [message.readUInt16BE(0), flags.response | recursionDesired | more | code, 1, records.length, 0, 0];
  return Buffer.concat([...header.map(uint16), question, ...records.map(encodeRecord)]);
}

function encodeRecord(record: DnsRecord): Buffer {
  const data =
    record.type === 'SRV'
      ? Buffer.concat([uint16(0), uint16(0), uint16(record.port), encodeName(record.target)])
      : encodeAddress(record.address);
  const ttl = Buffer.alloc(4);
  ttl.writeUInt32BE(record.ttl);
  // A pointer to the question's name.
  const name = uint16(0xc000 | headerLength);
  return Buffer.concat([name, uint16(typeNumbers[record.type]), uint16(inClass), ttl, uint16(data.length), data]);
}

function encodeName(name: string): Buffer {
  const labels = name.split('.').filter((label) => label !== '');
  return Buffer.concat([
    ...labels.flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]),
    Buffer.alloc(1),
  ]);
}

function encodeAddress(address: string): Buffer {
  if (!isIPv6(address)) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail = ''] = address.split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)));
  const zeros = Array(8 - groups(head).length - groups(tail).length).fill(0);
  return Buffer.concat([...groups(head), ...zeros, ...groups(tail)].map(uint16));
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}
