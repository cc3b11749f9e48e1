import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Containerd } from './containerd.ts';
import { CriClient } from './cri-client.ts';
import { entry } from './entry.ts';
import { freePort } from './ports.ts';
import {
  type Command,
  childrenOf,
  peakMemory,
  type RunningProcess,
  type RunResult,
  runAnyway,
  runBy,
  start,
} from './process.ts';
import { Scope } from './scope.ts';
import { temporaryFolder } from './temp.ts';

const MiB = 1024 * 1024;
/** The command `shoal`, which has to see these folders: that of its configuration, and the runtime's. */
export type Program = (folders: readonly string[]) => Command;
const underTest: Program = () => [process.execPath, entry];

export interface AgentOptions {
  /** Path of the runtime's CRI socket; of nobody's by default. */
  readonly runtimeSocket?: string;
  /** Bytes of the memory tier; 256 MiB by default. */
  readonly memoryTier?: number;
  /** Bytes of the disk tier; none by default. */
  readonly diskTier?: number;
  readonly logLevel?: 'info' | 'debug' | 'trace';
  /** False: no metrics, no status page. */
  readonly telemetry?: boolean;
  /** Seconds; the product's defaults otherwise. */
  readonly firstByteTimeout?: number;
  readonly stallTimeout?: number;
  readonly pathFormSessions?: 'on' | 'off';
  /** Patterns of <registry>/<repository> that are not accelerated. */
  readonly exclude?: readonly string[];
  /** Peculiarities of registries, by host[:port], as in the configuration. */
  readonly registryHosts?: Readonly<Record<string, { readonly plainHttp?: boolean; readonly caFile?: string }>>;
  /** Further keys of the section p2p: the swarm's. */
  readonly p2p?: Readonly<Record<string, unknown>>;
  /** Further sections of the configuration: ACR's. */
  readonly sections?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The program under test by default. */
  readonly program?: Program;
  /** Put before the command: how a program is run in a network namespace. */
  readonly prefix?: Command;
  /** Arguments for the engine's Node, such as a profiler's. */
  readonly nodeOptions?: string;
}

/** One line of the agent's log. */
export type LogLine = Readonly<Record<string, unknown>> & { readonly msg?: string; readonly name?: string };

/** The one line of a pull. */
export interface PullLine extends LogLine {
  readonly image: string;
  readonly result: 'ok' | 'failed' | 'cancelled';
  readonly repeated?: true;
  readonly bytes?: Readonly<Record<'image' | 'memory' | 'disk' | 'peer' | 'origin', number>>;
}

/** A `shoal agent` with its own configuration, state and mirror port. */
export interface Agent {
  readonly process: RunningProcess;
  /** Path of the socket that the kubelet would be pointed at. */
  readonly socket: string;
  /** A kubelet's client of that socket. */
  readonly cri: CriClient;
  readonly mirrorUrl: string;
  /** Metrics, health and the status page. */
  readonly telemetryUrl: string;
  readonly configFile: string;
  readonly stateDir: string;
  /** Bytes of the memory tier. */
  readonly memoryTier: number;
  /** Everything logged so far by both processes. */
  log(): readonly LogLine[];
  /** Resolves with the first line that matches, logged before or after the call. */
  logged(matches: (line: LogLine) => boolean, what: string): Promise<LogLine>;
  /** The line of the `count`-th pull since the start; it is written a moment after the kubelet has its answer. */
  nthPull(count: number): Promise<PullLine>;
  /** The engine that runs now. */
  enginePid(): Promise<number>;
  /** The engine's largest resident memory so far, in bytes. */
  enginePeakMemory(): Promise<number>;
  /** Runs another `shoal` command with this agent's configuration. */
  shoal(...args: string[]): Promise<RunResult>;
  /** Stops it, unless it was killed, and starts it again: the memory tier is empty then. */
  restart(): Promise<void>;
  /** SIGKILL to both processes: nobody is told. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts an agent and waits until its engine is ready. */
export async function startAgent(scope: Scope, options: AgentOptions = {}): Promise<Agent> {
  const folder = await temporaryFolder(scope, 'agent');
  const socket = path.join(folder, 'shoal.sock');
  const stateDir = path.join(folder, 'state');
  const configFile = path.join(folder, 'config.yaml');
  const mirrorPort = await freePort();
  const telemetryPort = await freePort();
  const telemetryUrl = `http://127.0.0.1:${telemetryPort}`;
  const mirrorUrl = `http://127.0.0.1:${mirrorPort}`;
  const memoryTier = options.memoryTier ?? 256 * MiB;
  await writeFile(
    configFile,
    // JSON is YAML.
    JSON.stringify({
      listen: socket,
      runtimeEndpoint: `unix://${options.runtimeSocket ?? path.join(folder, 'no-runtime.sock')}`,
      stateDir,
      runDir: path.join(folder, 'run'),
      log: { level: options.logLevel ?? 'info' },
      telemetry: { port: options.telemetry === false ? 0 : telemetryPort },
      mirror: {
        port: mirrorPort,
        ...(options.firstByteTimeout === undefined ? {} : { firstByteTimeout: options.firstByteTimeout }),
        ...(options.stallTimeout === undefined ? {} : { stallTimeout: options.stallTimeout }),
        ...(options.pathFormSessions === undefined ? {} : { pathFormSessions: options.pathFormSessions }),
      },
      registries: { exclude: options.exclude ?? [], hosts: options.registryHosts ?? {} },
      ...options.sections,
      p2p: { ...options.p2p, v2: { cache: cacheConfig(memoryTier, options.diskTier) } },
    }),
  );
  const cri = new CriClient(scope, socket);
  const { program = underTest, runtimeSocket } = options;
  const shoal = program(runtimeSocket === undefined ? [folder] : [folder, path.dirname(runtimeSocket)]);

  let life = new Scope();
  let running: RunningProcess;
  const begin = async (): Promise<void> => {
    life = new Scope();
    const command = runBy(options.prefix, [...shoal, 'agent', '--config', configFile]);
    running = await start(life, 'shoal agent', command, {
      env: { NODE_OPTIONS: options.nodeOptions, ...options.env },
      graceMs: 10_000,
    });
    const ready = (): boolean => logOf(running).some((line) => line.msg === 'engine ready');
    // Many agents may begin at once on few processors.
    await running.until(ready, { what: 'a ready engine', timeoutMs: 60_000 });
  };
  const stop = (): Promise<void> => life.close();
  await begin();
  scope.defer(stop);

  const enginePid = async (): Promise<number> =>
    await running.until(async () => (await childrenOf(running.pid))[0], { what: 'an engine' });
  return {
    get process() {
      return running;
    },
    socket,
    cri,
    mirrorUrl,
    telemetryUrl,
    configFile,
    stateDir,
    memoryTier,
    log: () => logOf(running),
    logged: (matches, what) => running.until(() => logOf(running).find(matches), { what }),
    async nthPull(count) {
      const pulls = (): PullLine[] => logOf(running).filter((line): line is PullLine => line.msg === 'pull');
      return await running.until(() => pulls()[count - 1], { what: `the log line of pull ${count}` });
    },
    enginePid,
    enginePeakMemory: async () => peakMemory(await enginePid()),
    shoal: (...args) => runAnyway([...shoal, ...args, '--config', configFile]),
    async restart() {
      await stop();
      await begin();
    },
    async kill() {
      // The engine first: it would notice the end of the supervisor, and take its leave.
      process.kill(await enginePid(), 'SIGKILL');
      running.kill('SIGKILL');
      await running.exited;
    },
    stop,
  };
}

/** Makes a containerd ask the agent's mirror first, as the node bootstrap does. Gives what the command said. */
export async function configureRuntime(agent: Agent, containerd: Containerd, ...options: string[]): Promise<string> {
  const where = ['--containerd-config', containerd.configFile];
  const command: Command = [process.execPath, entry, 'runtime', 'configure', '--runtime', 'containerd'];
  // As on a node, the containerd that is found is the one that runs.
  const env = { PATH: `${path.dirname(containerd.binary)}:${process.env.PATH}` };
  const all: Command = [...command, ...where, ...options, '--config', agent.configFile];
  const { code, stdout, stderr } = await runAnyway(all, { env });
  if (code !== 0) throw new Error(`shoal runtime configure: exit code ${code}\n${stderr}${stdout}`);
  return stdout;
}

function cacheConfig(memoryTier: number, diskTier: number | undefined): object {
  const memoryCacheCapacityGB = memoryTier / (1024 * MiB);
  return diskTier === undefined
    ? { mode: 'memory', optionBlockSize: memoryTier, memoryCacheCapacityGB }
    : { mode: 'disk', capacity: diskTier, optionBlockSize: memoryTier, memoryCacheCapacityGB };
}

function logOf(process: RunningProcess): readonly LogLine[] {
  const lines: LogLine[] = [];
  for (const text of process.output.split('\n')) {
    if (!text.startsWith('{')) continue;
    try {
      lines.push(JSON.parse(text) as LogLine);
    } catch {
      // The last line may not be whole yet.
    }
  }
  return lines;
}
