import { spawn } from 'node:child_process';
import type { Logger } from '../telemetry/log.ts';

/** The first file descriptor that a service manager passes (sd_listen_fds(3)). */
const firstDescriptor = 3;

/** What the service manager passed can't be used. The message names the cause and the mend. */
export class SocketActivationError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'SocketActivationError';
  }
}

/**
 * The descriptor of the listening socket that the service manager opened for this process, by `LISTEN_PID` and
 * `LISTEN_FDS` (sd_listen_fds(3)); `undefined` when there is none. Throws when there are several.
 */
export function activatedSocket(environment: NodeJS.ProcessEnv, pid: number): number | undefined {
  if (environment.LISTEN_PID !== String(pid)) return undefined;
  const count = Number(environment.LISTEN_FDS ?? '0');
  if (count === 0) return undefined;
  if (count === 1) return firstDescriptor;
  throw new SocketActivationError(
    `the service manager passed LISTEN_FDS=${environment.LISTEN_FDS} sockets: the socket unit must have exactly one ListenStream`,
  );
}

/** The environment for child processes: what the service manager says to this process is not meant for them. */
export function childEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES, NOTIFY_SOCKET, WATCHDOG_PID, WATCHDOG_USEC, ...rest } = environment;
  return rest;
}

/** Half of the time after which the service manager takes us for dead, in milliseconds (sd_watchdog_enabled(3)). */
export function watchdogInterval(environment: NodeJS.ProcessEnv, pid: number): number | undefined {
  const microseconds = Number(environment.WATCHDOG_USEC);
  if (!Number.isFinite(microseconds) || microseconds <= 0) return undefined;
  if (environment.WATCHDOG_PID !== undefined && environment.WATCHDOG_PID !== String(pid)) return undefined;
  return microseconds / 2000;
}

/**
 * Tells the service manager how this process fares, when it listens (`NOTIFY_SOCKET`). Node has no unix datagrams and
 * this process loads no addon, so each message is one run of systemd-notify, which sends it in this process' name.
 */
export class ServiceNotifier {
  readonly #environment: NodeJS.ProcessEnv;
  readonly #log: Logger;
  #watchdog: NodeJS.Timeout | undefined;
  #warned = false;

  constructor(environment: NodeJS.ProcessEnv, log: Logger) {
    this.#environment = environment;
    this.#log = log;
  }

  /** The socket is served. From now on the watchdog is fed, from the event loop that serves it. */
  ready(): void {
    this.#send('READY=1');
    const interval = watchdogInterval(this.#environment, process.pid);
    if (interval !== undefined) this.#watchdog = setInterval(() => this.#send('WATCHDOG=1'), interval).unref();
  }

  /** The process is on its way out. */
  stopping(): void {
    clearInterval(this.#watchdog);
    this.#send('STOPPING=1');
  }

  #send(message: string): void {
    if (this.#environment.NOTIFY_SOCKET === undefined) return;
    // Four slots: the activated socket, descriptor 3, is not for the child.
    const child = spawn('systemd-notify', [message], {
      env: this.#environment,
      stdio: ['ignore', 'ignore', 'ignore', 'ignore'],
    });
    child.once('error', (error) => this.#warn(error.message));
    child.once('exit', (code, signal) => {
      if (code !== 0) this.#warn(signal === null ? `exit code ${code}` : `signal ${signal}`);
    });
  }

  #warn(reason: string): void {
    if (this.#warned) return;
    this.#warned = true;
    this.#log.warn({ reason }, 'systemd-notify failed: the service manager does not hear of this process');
  }
}
