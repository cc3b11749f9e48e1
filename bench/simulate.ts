import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { plot } from './simulate/plot.ts';
import { header, lastLine, type Result, resultOf, tableLine } from './simulate/report.ts';
import { type Row, rows, scenario } from './simulate/scenarios.ts';
import { SwarmModel } from './simulate/swarm-model.ts';

/**
 * Thousands of nodes pull one image through the production directory, placement and schedule, on a modelled network
 * (docs/swarm.md says what is modelled and what is not).
 */
const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '10000' },
    /** Twice as fine as most rows: coarse pieces are hardest where many generations have to pass them on. */
    pieces: { type: 'string', default: '1024' },
    quick: { type: 'boolean', default: false },
    only: { type: 'boolean', default: false },
    plot: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

const usage = `simulate: [--nodes <of the last run: 10000>] [--pieces <it cuts the image into: 1024>] [--only: that run alone]
          [--quick: nothing above 300 nodes] [--plot <file.svg>]`;

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 4 || value > 20_000) throw new Error(`--${name} ${text}: from 4 to 20000`);
  return value;
}

function run(row: Row): Result {
  const result = resultOf(row, new SwarmModel(row.scenario).run());
  console.log(tableLine(result));
  return result;
}

function main(): void {
  if (values.help) {
    console.log(usage);
    return;
  }
  const nodes = Math.min(wholeNumber('nodes', values.nodes), values.quick ? 300 : Number.POSITIVE_INFINITY);
  const pieces = wholeNumber('pieces', values.pieces);
  console.log('a 10 GiB image in 4 layers; nodes 1 Gbit/s each way, origin 10 Gbit/s; times as multiples of the bound');
  console.log(header);
  const largest: Row = { title: 'all at once', scenario: scenario({ nodes, pieces, zones: 3 }) };
  const results = [...(values.only ? [] : rows(nodes)), largest].map(run);
  if (values.plot !== undefined) {
    mkdirSync(dirname(values.plot), { recursive: true });
    writeFileSync(values.plot, plot(results.filter(({ row }) => row.title === 'all at once')));
  }
  const last = results.at(-1);
  if (last !== undefined) console.log(lastLine(last));
}

main();
