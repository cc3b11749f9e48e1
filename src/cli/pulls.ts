import { writeFile } from 'node:fs/promises';
import type { PullView } from '../pull/pull-record.ts';
import { formatBytes, formatMs } from '../units.ts';
import { type ConfigOptions, loadFromOptions } from './config-options.ts';
import { UsageError } from './exit-codes.ts';
import { formatTable } from './format.ts';
import { type OutputFormat, print } from './output.ts';
import { fromEngine } from './running-engine.ts';
import { allBytes, describeShares } from './sources.ts';
import { terminalWidth } from './style.ts';
import { describePull } from './waterfall.ts';

type Options = ConfigOptions & { readonly output: OutputFormat };

/** `shoal pulls`: those under way and the recent ones. */
export async function listPulls(options: Options & { readonly watch?: boolean }): Promise<void> {
  const { config } = await loadFromOptions(options);
  if (options.watch === true) {
    const { watchPulls } = await import('./watch-pulls.ts');
    return watchPulls(config.runDir, options.output);
  }
  const pulls = await fromEngine(config.runDir, 'pulls');
  print(options.output, describePulls(pulls), pulls);
}

/** `shoal pulls explain <id>`: the waterfall of one pull. */
export async function explainPull(id: string, options: Options & { readonly svg?: string }): Promise<void> {
  if (!/^\d{1,15}$/.test(id))
    throw new UsageError(`${JSON.stringify(id)} is no pull's number; \`shoal pulls\` lists them`);
  const { config } = await loadFromOptions(options);
  const pull = await fromEngine(config.runDir, 'pull', id);
  if (pull === null)
    throw new Error(`there is no pull ${id} (any more); \`shoal pulls\` lists those that are remembered`);
  if (options.svg !== undefined) {
    const { waterfallSvg } = await import('./waterfall-svg.ts');
    await writeFile(options.svg, waterfallSvg(pull));
  }
  print(options.output, describePull(pull, terminalWidth()), pull);
}

export function describePulls(pulls: readonly PullView[]): string {
  if (pulls.length === 0) return 'no pull yet since the engine started';
  const rows = pulls.map((pull) => [
    pull.id,
    pull.began.slice(0, 19).replace('T', ' '),
    pull.fellBack ? `${pull.state}, fell back` : pull.state,
    formatMs(pull.elapsedMs),
    pull.firstByteMs === undefined ? '–' : formatMs(pull.firstByteMs),
    formatBytes(allBytes(pull.bytes)),
    describeShares(pull.bytes) || '–',
    pull.image,
  ]);
  return formatTable([['ID', 'BEGAN (UTC)', 'STATE', 'TIME', 'FIRST BYTE', 'BYTES', 'FROM', 'IMAGE'], ...rows]);
}
