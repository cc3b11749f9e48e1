import { type EventLoopUtilization, monitorEventLoopDelay, performance } from 'node:perf_hooks';

/** How a process fares. */
export interface ProcessStat {
  readonly pid: number;
  /** Seconds since the epoch. */
  readonly startedAt: number;
  /** User and system time, in seconds. */
  readonly cpuSeconds: number;
  /** Bytes. */
  readonly residentBytes: number;
  readonly heapBytes: number;
  /** Of the last whole quarter of a minute. */
  readonly eventLoop: {
    /** Seconds that a timer came late. */
    readonly lagMean: number;
    readonly lagP99: number;
    readonly lagMax: number;
    /** 0 to 1: the share of time in which it was not idle. */
    readonly utilization: number;
  };
}

/** Milliseconds between two looks at the loop: ten wake-ups a second. */
const resolution = 100;
const windowMs = 15_000;

/** Watches this process' event loop, and tells its use of processor and memory when asked. */
export class ProcessWatch {
  readonly #delays = monitorEventLoopDelay({ resolution });
  readonly #timer: NodeJS.Timeout;
  #utilization: EventLoopUtilization = performance.eventLoopUtilization();
  #eventLoop: ProcessStat['eventLoop'] | undefined;

  constructor() {
    this.#delays.enable();
    this.#timer = setInterval(() => this.#turn(), windowMs).unref();
  }

  stat(): ProcessStat {
    const { user, system } = process.cpuUsage();
    const { rss, heapUsed } = process.memoryUsage();
    return {
      pid: process.pid,
      startedAt: Math.round(performance.timeOrigin) / 1000,
      cpuSeconds: (user + system) / 1e6,
      residentBytes: rss,
      heapBytes: heapUsed,
      // Before the first window is over, what there is of it.
      eventLoop: this.#eventLoop ?? this.#read(),
    };
  }

  close(): void {
    clearInterval(this.#timer);
    this.#delays.disable();
  }

  #turn(): void {
    this.#eventLoop = this.#read();
    this.#utilization = performance.eventLoopUtilization();
    this.#delays.reset();
  }

  /** The monitor counts the time between its looks: the lag is what exceeds its resolution. */
  #read(): ProcessStat['eventLoop'] {
    const seconds = (nanoseconds: number) => Math.max(0, nanoseconds / 1e9 - resolution / 1000);
    const empty = this.#delays.count === 0;
    return {
      lagMean: empty ? 0 : seconds(this.#delays.mean),
      lagP99: empty ? 0 : seconds(this.#delays.percentile(99)),
      lagMax: empty ? 0 : seconds(this.#delays.max),
      utilization: performance.eventLoopUtilization(this.#utilization).utilization,
    };
  }
}
