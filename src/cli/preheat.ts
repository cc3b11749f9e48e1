import { callControl } from '../agent/control-client.ts';
import type { NodeResult } from '../agent/preheating.ts';
import { parseImageReference } from '../registry/reference.ts';
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
  const answer = callControl(config.runDir, 'Preheat', command, answerBoundMs);
  const results = (await engineAnswer(config.runDir, answer)) as NodeResult[];
  print(options.output, results.map(describe).join('\n'), results);
  if (!results.every(({ ok }) => ok)) process.exitCode = exitCodes.failed;
}

function describe(result: NodeResult): string {
  if (!result.ok) return `${result.node}  failed: ${result.error}`;
  const mebibytes = (bytes: number): string => (bytes / 1024 / 1024).toFixed(1);
  const { node, bytes, originBytes, seconds } = result;
  return `${node}  ${mebibytes(bytes)} MiB in ${seconds.toFixed(1)} s, ${mebibytes(originBytes)} MiB from the registry`;
}
