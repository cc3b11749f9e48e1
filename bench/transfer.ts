import path from 'node:path';
import { parseArgs } from 'node:util';
import { configSchema } from '../src/config/schema.ts';
import { native } from '../src/native/index.ts';
import { createPieceStore } from '../src/store/store.ts';
import { initAuthority, issueCertificate } from '../src/swarm/tls/authority.ts';
import { type CertificateFiles, loadCertificates, type PeerCertificates } from '../src/swarm/tls/certificates.ts';
import { createPieceClient, type PieceClient } from '../src/swarm/transfer/client.ts';
import type { PieceKey } from '../src/swarm/transfer/types.ts';
import { UploadSlots } from '../src/swarm/transfer/upload-slots.ts';
import { createLogger } from '../src/telemetry/log.ts';
import { openPiecePort } from '../test/harness/piece-port.ts';
import { freePort } from '../test/harness/ports.ts';
import { cpuSeconds, type RunningProcess, run, start } from '../test/harness/process.ts';
import type { Scope } from '../test/harness/scope.ts';
import { temporaryFolder } from '../test/harness/temp.ts';
import { main } from './harness/main.ts';
import { GB, MiB, median } from './harness/stats.ts';

/**
 * Pieces of 4 MiB from one peer to another over loopback, plain and with mutual TLS, against iperf3 with as many connections.
 * Each round runs all of them once; ratios are taken within a round. The peer that sends is a process of its own, the one that
 * receives is this one.
 */
const { values: flags } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    /** Of each measurement. */
    seconds: { type: 'string', default: '2' },
    /** As many as an agent opens to a peer. */
    connections: { type: 'string', default: '4' },
    /** The role of the sending process: `plain`, or a folder with certificates. */
    serve: { type: 'string' },
  },
});

const pieceSize = 4 * MiB;
/** 64 MiB in turn: more than a CPU's cache holds, as in a pull. */
const distinctPieces = 16;
const log = createLogger({ name: 'bench-transfer', level: 'warn' });
const timeouts = { connectTimeout: 5, transferTimeout: 15 };

/** `level` of what is measured: the transfer alone, with the bytes checked, and with the checked bytes stored. */
type Level = 'bytes' | 'checked' | 'stored';

interface Sample {
  readonly rate: number;
  /** Seconds of both processes for each GB. */
  readonly cpu: number;
}

function pieces(): { readonly bytes: Buffer; readonly crc32c: number }[] {
  const arena = native.createArena({ capacity: distinctPieces * pieceSize });
  return Array.from({ length: distinctPieces }, (_, index) => {
    const bytes = arena.view(index * pieceSize, pieceSize);
    for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE((at * 2654435761 + index) >>> 0, at);
    return { bytes, crc32c: native.crc32c(bytes) };
  });
}

function certificateFiles(folder: string, name: string): CertificateFiles {
  const file = (suffix: string): string => path.join(folder, suffix);
  return { ca: file('ca.crt'), certificate: file(`${name}.crt`), key: file(`${name}.key`) };
}

/** The sending process: prints its port and serves until it is stopped. */
async function serve(mode: string): Promise<void> {
  const held = pieces();
  const certificates = mode === 'plain' ? undefined : await load(mode, 'sender');
  const server = await openPiecePort({
    provider: {
      async get({ index }) {
        const piece = held[index % held.length];
        return piece && { ...piece, release: () => undefined };
      },
    },
    log,
    security: certificates === undefined ? { kind: 'loopback' } : { kind: 'tls', certificates },
    host: '127.0.0.1',
    port: 0,
    transferTimeout: timeouts.transferTimeout,
    slots: new UploadSlots({ now: () => performance.now(), initial: 64 }),
  });
  process.on('SIGTERM', () => process.exit());
  console.log(`port ${server.address.port}`);
}

function load(folder: string, name: string): Promise<PeerCertificates> {
  return loadCertificates({ files: certificateFiles(folder, name), log });
}

interface Sender {
  readonly process: RunningProcess;
  readonly port: number;
}

async function startSender(scope: Scope, mode: string): Promise<Sender> {
  const sender = await start(scope, `sender ${mode}`, [process.execPath, import.meta.filename, '--serve', mode]);
  const port = await sender.until(() => /^port (\d+)$/m.exec(sender.output)?.[1], { what: 'its port' });
  return { process: sender, port: Number(port) };
}

/** Makes one fetch of a piece, over and over on each connection. */
type Fetch = (connection: number, key: PieceKey) => Promise<void>;

async function measure(sender: Sender, connections: number, seconds: number, fetch: Fetch): Promise<Sample> {
  const digest = `sha256:${'0'.repeat(64)}`;
  const before = { own: process.cpuUsage(), other: await cpuSeconds(sender.process.pid) };
  const begin = performance.now();
  const end = begin + seconds * 1000;
  let count = 0;
  const work = async (connection: number): Promise<void> => {
    while (performance.now() < end) {
      const index = count;
      count += 1;
      await fetch(connection, { digest, index });
    }
  };
  await Promise.all(Array.from({ length: connections }, (_, connection) => work(connection)));
  const took = (performance.now() - begin) / 1000;
  const own = process.cpuUsage(before.own);
  const cpu = (own.user + own.system) / 1e6 + (await cpuSeconds(sender.process.pid)) - before.other;
  const amount = (count * pieceSize) / GB;
  return { rate: amount / took, cpu: cpu / amount };
}

interface IperfReport {
  readonly end: { readonly sum_received: { readonly bits_per_second: number } };
}

async function iperf(port: number, connections: number, seconds: number): Promise<number> {
  const flow = ['-P', String(connections), '-t', String(seconds)];
  const text = await run(['iperf3', '-c', '127.0.0.1', '-p', String(port), ...flow, '-J']);
  return (JSON.parse(text) as IperfReport).end.sum_received.bits_per_second / 8 / GB;
}

/** The ways of receiving a piece from one sender. */
async function fetches(scope: Scope, sender: Sender, certificates?: PeerCertificates): Promise<Record<Level, Fetch>> {
  const connections = Number(flags.connections);
  const peer = { id: 'sender', address: `127.0.0.1:${sender.port}` };
  const client = (crc32c: (bytes: Uint8Array) => number): PieceClient => {
    const created = createPieceClient({
      ...timeouts,
      native: { crc32c },
      maxRequests: connections,
      connectionsPerPeer: connections,
      ...(certificates === undefined ? {} : { certificates }),
    });
    scope.defer(() => created.close());
    return created;
  };
  const checksums = pieces().map((piece) => piece.crc32c);
  const checksum = (key: PieceKey): number => checksums[key.index % distinctPieces] ?? 0;
  const checked = client(native.crc32c);
  const unchecked = client(() => 0);
  const arena = native.createArena({ capacity: connections * pieceSize });
  const destinations = Array.from({ length: connections }, (_, index) => arena.view(index * pieceSize, pieceSize));
  const destination = (connection: number): Buffer => destinations[connection] ?? Buffer.alloc(0);
  const cache = { mode: 'memory', optionBlockSize: 2 * connections * pieceSize };
  const store = await createPieceStore({
    config: configSchema.parse({ p2p: { v2: { cache } } }).p2p.v2.cache,
    directory: '',
    native,
    log,
  });
  scope.defer(() => store.close());
  return {
    async bytes(connection, key) {
      await unchecked.fetch({ peer, key, crc32c: 0, destination: destination(connection) });
    },
    async checked(connection, key) {
      await checked.fetch({ peer, key, crc32c: checksum(key), destination: destination(connection) });
    },
    async stored(_connection, key) {
      const writer = await store.reserve(key, pieceSize);
      await checked.fetch({ peer, key, crc32c: checksum(key), destination: writer.buffer });
      writer.commit(checksum(key)).release();
    },
  };
}

if (flags.serve === undefined) await main('bench-transfer', bench);
else await serve(flags.serve);

async function bench(scope: Scope): Promise<string> {
  const connections = Number(flags.connections);
  const seconds = Number(flags.seconds);
  const folder = await temporaryFolder(scope, 'certificates');
  await initAuthority({ directory: folder });
  for (const name of ['sender', 'receiver']) {
    await issueCertificate({ directory: folder, output: folder, name, addresses: ['127.0.0.1'] });
  }
  const certificates = await load(folder, 'receiver');
  const iperfPort = await freePort();
  const iperfServer = await start(scope, 'iperf3', ['iperf3', '-s', '-p', String(iperfPort), '--forceflush']);
  await iperfServer.until(() => iperfServer.output.includes('listening'), { what: 'iperf3' });
  const senders = { plain: await startSender(scope, 'plain'), tls: await startSender(scope, folder) };
  const ways = {
    plain: await fetches(scope, senders.plain),
    tls: await fetches(scope, senders.tls, certificates),
  };

  const levels: readonly Level[] = ['bytes', 'checked', 'stored'];
  const tests = (['plain', 'tls'] as const).flatMap((kind) => levels.map((level) => ({ kind, level })));
  const samples = new Map(tests.map((test) => [test, [] as { rate: number; cpu: number; ratio: number }[]]));
  const yardstick: number[] = [];
  // The first round warms up.
  for (let round = -1; round < Number(flags.runs); round += 1) {
    const reference = await iperf(iperfPort, connections, seconds);
    if (round >= 0) yardstick.push(reference);
    for (const test of round % 2 === 0 ? tests : tests.toReversed()) {
      const { kind, level } = test;
      const sample = await measure(senders[kind], connections, seconds, ways[kind][level]);
      if (round >= 0) samples.get(test)?.push({ ...sample, ratio: sample.rate / reference });
    }
  }

  console.log(`iperf3  ${median(yardstick).toFixed(2)} GB/s  (${connections} connections, median of ${flags.runs})`);
  const result = new Map<string, { ratio: number; cpu: number }>();
  const labels = { bytes: 'transfer', checked: 'and CRC32C checked', stored: 'and stored in memory' };
  for (const [{ kind, level }, all] of samples) {
    const of = (value: 'rate' | 'cpu' | 'ratio'): number => median(all.map((sample) => sample[value]));
    result.set(`${kind} ${level}`, { ratio: of('ratio'), cpu: of('cpu') });
    const name = `${kind.padEnd(5)}  ${labels[level].padEnd(20)}`;
    console.log(
      `${name}  ${of('rate').toFixed(2)} GB/s  ${of('ratio').toFixed(2)}x of iperf3  ${of('cpu').toFixed(3)} cpu-s/GB`,
    );
  }
  const plain = result.get('plain bytes');
  const ratio = (name: string): string => result.get(name)?.ratio.toFixed(2) ?? '';
  return `bench-transfer: plain ${ratio('plain bytes')}x of iperf3, tls ${ratio('tls bytes')}x, cpu ${plain?.cpu.toFixed(3)} s/GB`;
}
