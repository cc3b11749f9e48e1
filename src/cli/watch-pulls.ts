import { setTimeout as sleep } from 'node:timers/promises';
import type { SingleBar } from 'cli-progress';
import type { PullView } from '../pull/pull-record.ts';
import { formatBytes, formatMs } from '../units.ts';
import { createBars } from './bars.ts';
import type { OutputFormat } from './output.ts';
import { fromEngine } from './running-engine.ts';
import { allBytes, describeShares } from './sources.ts';

const lookEveryMs = 500;

/** Shows how pulls begin, go on and end. */
interface Viewer {
  show(pull: PullView): void;
}

/** Follows the pulls of the engine until it is interrupted, or the engine goes away. */
export async function watchPulls(runDir: string, output: OutputFormat): Promise<void> {
  const viewer = output === 'json' ? jsonLines() : process.stdout.isTTY ? bars() : lines();
  // What has ended before is not news.
  const ended = new Set(
    (await fromEngine(runDir, 'pulls')).filter(({ state }) => state !== 'pulling').map(({ id }) => id),
  );
  for (;;) {
    const pulls = await fromEngine(runDir, 'pulls');
    for (const pull of pulls.toReversed()) {
      if (ended.has(pull.id)) continue;
      viewer.show(pull);
      if (pull.state !== 'pulling') ended.add(pull.id);
    }
    await sleep(lookEveryMs);
  }
}

/** A bar each, on a terminal. */
function bars(): Viewer {
  const known = new Map<string, SingleBar>();
  const multi = createBars({
    format: '{id} {bar} {percentage} % | {bytes} of {size} | {from} | {image}',
    barsize: 30,
    clearOnComplete: false,
    stopOnComplete: false,
  });
  return {
    show(pull) {
      const payload = {
        id: pull.id.padStart(4),
        bytes: formatBytes(pull.delivered),
        size: formatBytes(pull.layerBytes),
        from:
          pull.state === 'pulling'
            ? describeShares(pull.bytes) || 'waits'
            : `${pull.state}, ${formatMs(pull.elapsedMs)}`,
        image: pull.image,
      };
      // Layers that the runtime has are never asked for: an ended pull is at its end whatever came.
      const total = pull.state === 'pulling' ? Math.max(1, pull.layerBytes) : Math.max(1, pull.delivered);
      const bar = known.get(pull.id) ?? multi.create(total, 0, payload);
      known.set(pull.id, bar);
      bar.setTotal(total);
      bar.update(pull.delivered, payload);
    },
  };
}

/** A line when a pull begins and one when it has ended. */
function lines(): Viewer {
  const begun = new Set<string>();
  return {
    show(pull) {
      if (!begun.has(pull.id)) {
        begun.add(pull.id);
        process.stdout.write(`${pull.id} begins: ${pull.image}\n`);
      }
      if (pull.state === 'pulling') return;
      const from = describeShares(pull.bytes);
      const bytes = `${formatBytes(allBytes(pull.bytes))}${from === '' ? '' : `: ${from}`}`;
      process.stdout.write(`${pull.id} ${pull.state} after ${formatMs(pull.elapsedMs)}: ${pull.image}, ${bytes}\n`);
    },
  };
}

/** A JSON object a line: whatever has changed. */
function jsonLines(): Viewer {
  return { show: (pull) => process.stdout.write(`${JSON.stringify(pull)}\n`) };
}
