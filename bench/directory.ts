import { readFile } from 'node:fs/promises';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ClientStream } from '../src/swarm/directory-service/client-stream.ts';
import { createDirectoryHost } from '../src/swarm/directory-service/host.ts';
import { createDirectoryServer } from '../src/swarm/directory-service/server.ts';
import { Liveness } from '../src/swarm/port/liveness.ts';
import { createSwarmPort } from '../src/swarm/port/port.ts';
import { type CertificateFiles, loadCertificates } from '../src/swarm/tls/certificates.ts';
import type { TransferSecurity } from '../src/swarm/transfer/listen-address.ts';
import { createLogger } from '../src/telemetry/log.ts';
import { cpuSeconds, type RunningProcess, start } from '../test/harness/process.ts';
import type { Scope } from '../test/harness/scope.ts';
import { SwarmAuthority } from '../test/harness/swarm-certificates.ts';
import { main } from './harness/main.ts';

/**
 * What one shard's streams cost it: to open them, to keep them while nobody says anything, and to take announcements. The
 * shard is a process of its own; all agents are this one.
 */
const { values: flags } = parseArgs({
  options: {
    agents: { type: 'string', default: '2000' },
    /** In which nobody says anything. */
    seconds: { type: 'string', default: '20' },
    announcements: { type: 'string', default: '60000' },
    /** The role of the shard's process: `plain`, or its certificates as JSON. */
    serve: { type: 'string' },
  },
});

const log = createLogger({ name: 'bench-directory', level: 'warn' });
/** Handshakes at once. */
const concurrency = 50;
const perFrame = 20;

async function serve(mode: string): Promise<void> {
  const membership = {
    members: () => [],
    reachable: () => [],
    onChange: () => () => undefined,
    heard: () => undefined,
  };
  const host = createDirectoryHost({ self: 'shard', membership, transferTimeoutMs: 15_000 });
  const security: TransferSecurity =
    mode === 'plain'
      ? { kind: 'loopback' }
      : { kind: 'tls', certificates: await loadCertificates({ files: JSON.parse(mode) as CertificateFiles, log }) };
  const directory = createDirectoryServer({ host, self: 'shard', logger: log });
  const connectionsPerAddress = Number.MAX_SAFE_INTEGER;
  const port = createSwarmPort({ security, port: 0, host: '127.0.0.1', directory, connectionsPerAddress, log });
  await port.listen();
  process.on('SIGTERM', () => process.exit());
  console.log(`port ${port.address.port}`);
}

async function openStreams(port: number, security: TransferSecurity, count: number): Promise<ClientStream[]> {
  const liveness = new Liveness(10_000);
  const streams: ClientStream[] = [];
  const open = (ordinal: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const stream = new ClientStream({
        shard: { id: 'shard', address: `127.0.0.1:${port}` },
        security,
        stands: () => undefined,
        // Under TLS one certificate names them all: by their host.
        hello: () => ({
          id: `127.0.0.1:${ordinal + 1}`,
          address: '127.0.0.1:65001',
          zone: '',
          role: 'agent',
          slots: 12,
          leases: 0,
          pace: 0,
        }),
        connectTimeoutMs: 60_000,
        patienceMs: 60_000,
        liveness,
        opened: resolve,
        receive: () => undefined,
        failed: (reason) => reject(new Error(`a stream failed: ${reason}`)),
      });
      streams.push(stream);
    });
  let next = 0;
  const work = async (): Promise<void> => {
    for (let ordinal = next++; ordinal < count; ordinal = next++) await open(ordinal);
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  return streams;
}

async function announce(streams: readonly ClientStream[], count: number): Promise<void> {
  for (let said = 0; said < count; ) {
    const stream = streams[(said / perFrame) % streams.length];
    const blob = `sha256:${(said % 50).toString(16).padStart(64, '0')}`;
    for (let each = 0; each < perFrame; each += 1, said += 1) {
      stream?.say({ kind: 'have', blob, piece: (said >> 6) % 2_000, crc32c: 1, verified: false });
    }
    if (said % (perFrame * 100) === 0) await turn();
  }
}

async function residentKiB({ pid }: RunningProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]);
}

/** Resolves once the shard does nothing any more: what was sent to it is done. */
async function settled({ pid }: RunningProcess): Promise<void> {
  for (let before = -1, now = await cpuSeconds(pid); now - before > 0.02; ) {
    await delay(500);
    before = now;
    now = await cpuSeconds(pid);
  }
}

async function measure(scope: Scope, mode: string, security: TransferSecurity): Promise<string> {
  const agents = Number(flags.agents);
  const announcements = Number(flags.announcements);
  const seconds = Number(flags.seconds);
  const shard = await start(scope, 'shard', [process.execPath, import.meta.filename, '--serve', mode]);
  const port = Number(await shard.until(() => /^port (\d+)$/m.exec(shard.output)?.[1], { what: 'its port' }));
  const cpu = (): Promise<number> => cpuSeconds(shard.pid);
  const spent = async (work: () => Promise<unknown>): Promise<number> => {
    const before = await cpu();
    await work();
    return (await cpu()) - before;
  };
  const emptyKiB = await residentKiB(shard);
  let streams: ClientStream[] = [];
  const opening = await spent(async () => {
    streams = await openStreams(port, security, agents);
  });
  const memory = ((await residentKiB(shard)) - emptyKiB) / agents;
  await settled(shard);
  const idle = await spent(() => delay(seconds * 1000));
  const announcing = await spent(async () => {
    await announce(streams, announcements);
    await settled(shard);
  });
  for (const stream of streams) stream.close();
  return [
    `stream ${((opening / agents) * 1000).toFixed(2)} ms ${memory.toFixed(0)} KiB`,
    `idle ${((idle / seconds) * 100).toFixed(1)} %`,
    `announcement ${((announcing / announcements) * 1e6).toFixed(1)} us`,
  ].join(', ');
}

if (flags.serve !== undefined) await serve(flags.serve);
else {
  await main('bench-directory', async (scope) => {
    const plain = await measure(scope, 'plain', { kind: 'loopback' });
    console.log(`plain: ${plain}`);
    const authority = await SwarmAuthority.create(scope);
    const files = await authority.issueFiles('shard');
    const certificates = await authority.issue('agents');
    const tls = await measure(scope, JSON.stringify(files), { kind: 'tls', certificates });
    return `bench-directory: agents ${flags.agents} plain: ${plain}; tls: ${tls}`;
  });
}
