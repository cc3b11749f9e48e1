import { type ChildProcess, spawn } from 'node:child_process';
import { Backoff } from '../backoff.ts';
import type { Logger } from '../telemetry/log.ts';

/** How the engine is started. */
export interface EngineCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  /** Written to the engine's descriptor 3, which is then closed: the configuration that the supervisor works with. */
  readonly handover: string;
}

/** How the engine fares, as its parent sees it. */
export interface EngineLife {
  readonly state: 'running' | 'restarting' | 'stopped';
  /** Since when it has been in that state, ISO 8601. */
  readonly since: string;
  /** Restarts since the supervisor's start. */
  readonly restarts: number;
  /** How it ended last: `exit code 1`, `signal SIGSEGV`, or why it could not be started. */
  readonly lastEnd?: string;
}

/** An engine that lived that long, in milliseconds, was in order: the next restart is quick again. */
const soundLife = 60_000;

/** The pauses before restarts: those of the nodes of a cluster are not in step. `random`: 0 <= random < 1. */
export function restartBackoff(random: () => number): Backoff {
  return new Backoff({ firstMs: 200, longestMs: 30_000, random });
}

/**
 * The engine as a child process: started, and started again with growing pauses whenever it ends. Its standard input is a
 * pipe on which nothing is sent: it ends with this process, and the engine with it. Its log goes where ours goes.
 */
export class EngineProcess {
  readonly #command: EngineCommand;
  readonly #log: Logger;
  #child: ChildProcess | undefined;
  #restart: NodeJS.Timeout | undefined;
  readonly #backoff = restartBackoff(Math.random);
  #stopped = false;
  #life: EngineLife = { state: 'stopped', since: new Date().toISOString(), restarts: 0 };

  constructor(command: EngineCommand, log: Logger) {
    this.#command = command;
    this.#log = log;
  }

  /** Process id of the engine that runs now. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get life(): EngineLife {
    return this.#life;
  }

  start(): void {
    this.#lives('running');
    const { command, args, environment, handover } = this.#command;
    const began = performance.now();
    const child = spawn(command, args, { env: environment, stdio: ['pipe', 'inherit', 'inherit', 'pipe'] });
    this.#child = child;
    // An engine that ends without reading breaks the pipes; its exit tells.
    for (const pipe of child.stdio) pipe?.on('error', () => undefined);
    const input = child.stdio[3];
    if (input !== null && input !== undefined && 'end' in input) input.end(handover);
    child.once('spawn', () => this.#log.info({ engine: child.pid }, 'engine started'));
    child.once('error', (error) => {
      // A signal that could not be sent is an 'error', too; only a child that never was has no process id.
      if (child.pid === undefined) this.#ended(began, { reason: error.message });
    });
    child.once('exit', (code, signal) => this.#ended(began, { code, signal }));
  }

  /** SIGTERM, then SIGKILL after `graceMs` milliseconds. Resolves when the engine has ended. */
  async stop(graceMs: number): Promise<void> {
    this.#stopped = true;
    this.#lives('stopped');
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child === undefined) return;
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    const impatience = setTimeout(() => child.kill('SIGKILL'), graceMs);
    child.kill('SIGTERM');
    await exited;
    clearTimeout(impatience);
  }

  #lives(state: EngineLife['state'], more: Partial<EngineLife> = {}): void {
    this.#life = { ...this.#life, state, since: new Date().toISOString(), ...more };
  }

  #ended(began: number, how: ChildEnd): void {
    this.#child = undefined;
    if (this.#stopped) return;
    this.#lives('restarting', { restarts: this.#life.restarts + 1, lastEnd: endOf(how) });
    if (performance.now() - began >= soundLife) this.#backoff.succeeded();
    const delay = Math.round(this.#backoff.failed());
    this.#log.error(
      { ...how, restartInMs: delay },
      'the engine ended: pulls go on without acceleration until it is back',
    );
    this.#restart = setTimeout(() => this.start(), delay);
  }
}

/** How a child ended, or why it never began. */
type ChildEnd = { readonly code: number | null; readonly signal: NodeJS.Signals | null } | { readonly reason: string };

function endOf(how: ChildEnd): string {
  if ('reason' in how) return how.reason;
  return how.signal === null ? `exit code ${how.code}` : `signal ${how.signal}`;
}
