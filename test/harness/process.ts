import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { Scope } from './scope.ts';
import { GaveUp, type WaitOptions, waitFor } from './wait.ts';

/** The output of one process is kept up to here; the tests' processes say far less. */
const keptOutput = 64 * 1024 * 1024;

/** Processes that must not outlive this one, however it ends. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A program and its arguments. */
export type Command = readonly [string, ...string[]];

/** The command, run by another one that takes it as its last arguments: in a network namespace, say. */
export function runBy(prefix: Command | undefined, command: Command): Command {
  return prefix === undefined ? command : [...prefix, ...command];
}

export interface ProcessOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Called with every piece of output as it comes. */
  readonly onOutput?: (text: string) => void;
  /** Milliseconds between SIGTERM and SIGKILL when it is stopped. */
  readonly graceMs?: number;
}

/** A server of a test: its output is kept, and its end is certain. */
export class RunningProcess {
  readonly name: string;
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #graceMs: number;
  #output = '';
  #exit: Exit | undefined;

  constructor(name: string, child: ChildProcess, options: ProcessOptions) {
    this.name = name;
    this.#child = child;
    this.#graceMs = options.graceMs ?? 5000;
    running.add(child);
    const keep = (chunk: Buffer): void => {
      const text = chunk.toString();
      if (this.#output.length < keptOutput) this.#output += text;
      options.onOutput?.(text);
    };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    this.exited = new Promise((resolve) => {
      // 'close' comes after the last output, but waits for grandchildren that hold the pipes: 'exit' is the end.
      child.once('exit', (code, signal) => {
        running.delete(child);
        this.#exit = { code, signal };
        resolve(this.#exit);
      });
    });
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.name} was never started`);
    return this.#child.pid;
  }

  /** Everything it wrote so far, both streams. */
  get output(): string {
    return this.#output;
  }

  get exit(): Exit | undefined {
    return this.#exit;
  }

  /** The last lines, for an error's message. */
  tail(lines = 20): string {
    return this.#output.trimEnd().split('\n').slice(-lines).join('\n');
  }

  /** Like `waitFor`, but fails at once, with its last words, when the process ends. */
  async until<T>(
    probe: () => T | undefined | false | Promise<T | undefined | false>,
    options: WaitOptions,
  ): Promise<T> {
    try {
      return await waitFor(() => {
        if (this.#exit !== undefined) throw new GaveUp(`${this.name} ended while ${options.what} was awaited`);
        return probe();
      }, options);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n--- ${this.name} said last:\n${this.tail()}`, { cause: error });
    }
  }

  /** Sends a signal; silent when the process has ended. */
  kill(signal: NodeJS.Signals): void {
    if (this.#exit === undefined) this.#child.kill(signal);
  }

  /** SIGTERM, then SIGKILL when the grace is over. */
  async stop(): Promise<Exit> {
    this.kill('SIGTERM');
    const impatience = setTimeout(() => this.kill('SIGKILL'), this.#graceMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(impatience);
    }
  }
}

/** Starts a server that lives until it is stopped or the scope closes. Rejects when the program can't be started. */
export async function start(
  scope: Scope,
  name: string,
  command: Command,
  options: ProcessOptions = {},
): Promise<RunningProcess> {
  const [program, ...args] = command;
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const started = new RunningProcess(name, child, options);
  await once(child, 'spawn');
  scope.defer(() => started.stop());
  return started;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly input?: string | Buffer;
  readonly timeoutMs?: number;
}

export interface RunResult extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end and gives what it said, whatever its exit code. */
export async function runAnyway(command: Command, options: RunOptions = {}): Promise<RunResult> {
  const [program, ...args] = command;
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
    timeout: options.timeoutMs ?? 120_000,
    killSignal: 'SIGKILL',
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  running.add(child);
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  // A program that ends without reading its input is judged by its exit code, not by the broken pipe.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input);
  try {
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    return { code, signal, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
  } finally {
    running.delete(child);
  }
}

/** Runs a program to its end; rejects with what it said when it fails. Gives its standard output. */
export async function run(command: Command, options: RunOptions = {}): Promise<string> {
  const result = await runAnyway(command, options);
  if (result.code !== 0) {
    const how = result.signal === null ? `exit code ${result.code}` : `signal ${result.signal}`;
    throw new Error(`${command.join(' ')}: ${how}\n${result.stderr}${result.stdout}`);
  }
  return result.stdout;
}

/** The processes that `pid` started itself. */
export async function childrenOf(pid: number): Promise<readonly number[]> {
  const list = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return list.split(' ').filter(Boolean).map(Number);
}

/** A process' largest resident memory so far, in bytes (VmHWM of proc(5)). */
export async function peakMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
  if (kib === undefined) throw new Error(`/proc/${pid}/status has no VmHWM`);
  return Number(kib) * 1024;
}

/** CPU seconds that a process used so far, in user and kernel mode (fields 14 and 15 of /proc/<pid>/stat, in 1/100 s). */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The second field, the program's name, may hold spaces: count from the closing parenthesis.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
