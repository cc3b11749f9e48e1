import { setTimeout as delay } from 'node:timers/promises';
import type { Host, Network } from '../../test/harness/network.ts';
import { MiB } from './stats.ts';

/** Bytes of payload that a host got from each other one. */
type Flows = ReadonlyMap<Host, ReadonlyMap<Host, number>>;

export interface FlowViewOptions {
  readonly network: Network;
  /** Whose bytes are shown. */
  readonly receivers: readonly Host[];
  /** Bytes that a receiver gets in all. */
  readonly total: number;
}

const columnWidth = 12;
const barWidth = 24;
const redrawMs = 200;

const mib = (bytes: number): string => (bytes / MiB).toFixed(1);

/**
 * Shows who gets what from whom while `work` goes on, by the counters of the links: a table that is drawn anew on a terminal (without
 * colours where NO_COLOR asks for that), elsewhere a line whenever a receiver has another quarter.
 */
export async function watchFlows<T>(options: FlowViewOptions, work: () => Promise<T>): Promise<T> {
  const begun = await options.network.sent();
  const view = process.stdout.isTTY ? new Table(options) : new Lines(options);
  const read = async (): Promise<Flows> => {
    const sent = await options.network.sent();
    const from = (to: Host): Map<Host, number> =>
      new Map(options.network.hosts.map((host) => [host, host === to ? 0 : sent(host, to) - begun(host, to)]));
    return new Map(options.receivers.map((to) => [to, from(to)]));
  };
  let working = true;
  const watch = async (): Promise<void> => {
    while (working) {
      view.show(await read());
      await delay(redrawMs);
    }
  };
  const watching = watch();
  try {
    return await work();
  } finally {
    working = false;
    await watching;
    view.end(await read());
  }
}

function sum(flows: Iterable<number>): number {
  return [...flows].reduce((all, each) => all + each, 0);
}

class Table {
  readonly #options: FlowViewOptions;
  #drawn = 0;

  constructor(options: FlowViewOptions) {
    this.#options = options;
  }

  show(flows: Flows): void {
    const { network, total } = this.#options;
    const [bright, plain] = process.env.NO_COLOR ? ['', ''] : ['\u001b[36m', '\u001b[0m'];
    const lines = [`  MiB from ${network.hosts.map((host) => host.name.padStart(columnWidth)).join('')}`];
    for (const [to, from] of flows) {
      const cells = network.hosts.map((host) => (host === to ? '–' : mib(from.get(host) ?? 0)).padStart(columnWidth));
      const share = Math.min(1, sum(from.values()) / total);
      const bar = '\u2588'.repeat(Math.round(share * barWidth)).padEnd(barWidth, '\u2591');
      lines.push(`  ${to.name.padEnd(9)}${cells.join('')}  ${bright}${bar}${plain} ${Math.floor(share * 100)}%`);
    }
    if (this.#drawn > 0) process.stdout.write(`\u001b[${this.#drawn}A`);
    process.stdout.write(lines.map((line) => `\u001b[2K${line}\n`).join(''));
    this.#drawn = lines.length;
  }

  end(flows: Flows): void {
    this.show(flows);
  }
}

class Lines {
  readonly #options: FlowViewOptions;
  readonly #told = new Map<Host, number>();

  constructor(options: FlowViewOptions) {
    this.#options = options;
  }

  show(flows: Flows): void {
    for (const [to, from] of flows) {
      const quarters = Math.min(4, Math.floor((sum(from.values()) / this.#options.total) * 4));
      if (quarters <= (this.#told.get(to) ?? 0)) continue;
      this.#told.set(to, quarters);
      this.#tell(to, from, `${quarters * 25}%`);
    }
  }

  end(flows: Flows): void {
    for (const [to, from] of flows) this.#tell(to, from, 'in all');
  }

  #tell(to: Host, from: ReadonlyMap<Host, number>, when: string): void {
    const parts = this.#options.network.hosts
      .filter((host) => host !== to)
      .map((host) => `${host.name} ${mib(from.get(host) ?? 0)}`);
    console.log(`  ${to.name} ${when}: MiB from ${parts.join(', ')}`);
  }
}
