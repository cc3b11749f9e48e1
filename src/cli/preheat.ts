import { followControl } from '../agent/control-client.ts';
import type { NodeResult, PreheatNews } from '../agent/preheating.ts';
import { parseImageReference } from '../registry/reference.ts';
import { createBars } from './bars.ts';
import { type ConfigOptions, loadFromOptions } from './config-options.ts';
import { exitCodes, UsageError } from './exit-codes.ts';
import { type OutputFormat, print } from './output.ts';
import { engineAnswer } from './running-engine.ts';
import { traceOfEnvironment } from './trace-environment.ts';

export interface PreheatOptions extends ConfigOptions {
  readonly nodes: string;
  readonly output: OutputFormat;
}

/** Milliseconds for the slowest node. */
const answerBoundMs = 60 * 60_000;
const mostNodes = 1_000;

/** `shoal preheat`: an image into the caches of some nodes. */
export async function preheat(image: string, options: PreheatOptions): Promise<void> {
  const nodes = Number(options.nodes);
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > mostNodes) {
    throw new UsageError(`--nodes is a whole number from 1 to ${mostNodes}`);
  }
  // Told once, not by every node.
  parseImageReference(image);
  const { config } = await loadFromOptions(options);
  const command = { image, nodes, ...traceOfEnvironment(process.env) };
  const viewer = options.output === 'json' ? whole() : process.stderr.isTTY ? bar() : lines();
  const results: NodeResult[] = [];
  const follow = async (): Promise<void> => {
    for await (const told of followControl(config.runDir, 'Preheat', command, answerBoundMs)) {
      const news = told as PreheatNews;
      if ('chosen' in news) viewer.begin(news.chosen.length);
      else {
        results.push(news);
        viewer.ended(news);
      }
    }
  };
  try {
    await engineAnswer(config.runDir, follow());
  } finally {
    viewer.stop(results);
  }
  if (!results.every(({ ok }) => ok)) process.exitCode = exitCodes.failed;
}

/** Shows how it goes on. */
interface Viewer {
  begin(nodes: number): void;
  ended(result: NodeResult): void;
  /** All that came, at the end. */
  stop(results: readonly NodeResult[]): void;
}

/** On a terminal: how many nodes have it, and at the end what came of each. */
function bar(): Viewer {
  const bars = createBars({ format: '{bar} {value} of {total} nodes', stream: process.stderr, barsize: 30 });
  let one: ReturnType<typeof bars.create> | undefined;
  return {
    begin: (nodes) => {
      one = bars.create(nodes, 0);
    },
    ended: () => one?.increment(),
    stop: (results) => {
      bars.stop();
      for (const result of results) process.stdout.write(`${describe(result)}\n`);
    },
  };
}

/** A line as soon as a node has ended. */
function lines(): Viewer {
  return {
    begin: () => undefined,
    ended: (result) => process.stdout.write(`${describe(result)}\n`),
    stop: () => undefined,
  };
}

function whole(): Viewer {
  return {
    begin: () => undefined,
    ended: () => undefined,
    // Without an agent there is an error, and no answer.
    stop: (results) => {
      if (results.length > 0) print('json', '', results);
    },
  };
}

function describe(result: NodeResult): string {
  if (!result.ok) return `${result.node}  failed: ${result.error}`;
  const mebibytes = (bytes: number): string => (bytes / 1024 / 1024).toFixed(1);
  const { node, bytes, originBytes, seconds } = result;
  return `${node}  ${mebibytes(bytes)} MiB in ${seconds.toFixed(1)} s, ${mebibytes(originBytes)} MiB from the registry`;
}
