import { type LayerView, sourceLetters } from '../pull/layer-record.ts';
import { byteSources } from '../pull/observer.ts';
import { isLost, type PullDetail } from '../pull/pull-record.ts';
import { formatBytes, formatMs, formatShare } from '../units.ts';
import { shortDigest } from './format.ts';
import { describeSources, sourceNames } from './sources.ts';

/** A stretch of a pull's time, and what it was spent on. Milliseconds since the begin. */
export interface Phase {
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

/** What a pull's time went into, without gaps. The last phase of one that is under way ends now. */
export function phasesOf(pull: PullDetail): Phase[] {
  const delivered = pull.layers.map(({ lastDeliveredMs = 0 }) => lastDeliveredMs);
  const last = delivered.length === 0 ? 0 : Math.max(...delivered);
  const ends: readonly (readonly [string, number | undefined])[] = [
    ["the registry's manifest", pull.manifestMs],
    ['the first byte of a layer', pull.firstByteMs],
    ['the layers', last > 0 ? last : undefined],
    [restOf(pull), pull.elapsedMs],
  ];
  const phases: Phase[] = [];
  let from = 0;
  for (const [name, end] of ends) {
    if (end === undefined) continue;
    const to = Math.max(from, Math.min(end, pull.elapsedMs));
    phases.push({ name, from, to });
    from = to;
  }
  return phases;
}

/** What the time went into that is no time of Shoal's. */
function restOf(pull: PullDetail): string {
  if (isLost(pull)) return 'not known: the engine that knew is gone';
  if (pull.firstByteMs !== undefined) return "the runtime's unpacking";
  const refused = pull.manifestMs === undefined && pull.state !== 'ok' && !pull.fellBack;
  return refused ? 'the registry, which showed no manifest' : 'the runtime, without a layer from here';
}

/** The waterfall of one pull for `columns` characters: a line a layer, each character a moment. */
export function describePull(pull: PullDetail, columns: number): string {
  return [
    `pull ${pull.id}: ${pull.image}${pull.pod ? `, for pod ${pull.pod.namespace}/${pull.pod.name}` : ''}`,
    headline(pull),
    ...(pull.layers.length > 0 ? ['', ...waterfall(pull, columns)] : []),
    '',
    'where the time went',
    ...phasesOf(pull).map(
      ({ name, from, to }) =>
        `  ${formatMs(to - from).padStart(9)}  ${formatShare(to - from, pull.elapsedMs).padStart(5)}  ${name}`,
    ),
    ...(pull.senders.length > 0 ? ['', 'who sent', ...senders(pull)] : []),
    ...(pull.causes.length > 0
      ? ['', 'what went wrong', ...pull.causes.map(({ atMs, text }) => `  ${formatMs(atMs).padStart(9)}  ${text}`)]
      : []),
  ].join('\n');
}

function headline(pull: PullDetail): string {
  const time = `${pull.state === 'pulling' ? 'pulling for' : `${pull.state} after`} ${formatMs(pull.elapsedMs)}`;
  const bytes = describeSources(pull.bytes);
  return [
    `${time}; begun ${pull.began}; let in by ${pull.rule}`,
    bytes !== '' ? bytes : isLost(pull) ? 'its bytes are not known' : 'no bytes came',
    ...(pull.fellBack ? ['the runtime repeated it without Shoal'] : []),
  ].join('\n');
}

function waterfall(pull: PullDetail, columns: number): string[] {
  const label = 12 + 2 + 10 + 2;
  const width = Math.max(20, columns - label - 2);
  const msOf = Math.max(pull.elapsedMs, 1) / width;
  const scale = `0${formatMs(pull.elapsedMs).padStart(width - 1)}`;
  return [
    `${''.padEnd(label)}${scale}`,
    ...pull.layers.map(
      (layer) =>
        `${shortDigest(layer.digest).padEnd(14)}${formatBytes(layer.size).padStart(10)}  ${row(layer, width, msOf)}`,
    ),
    ...(pull.layersLeftOut > 0 ? [`and ${pull.layersLeftOut} more layers`] : []),
    `${''.padEnd(label)}${legend}`,
  ];
}

const legend = `${byteSources.map((source, at) => `${sourceLetters[at]} ${sourceNames[source]}`).join(', ')}, . asked for, - handed out`;

/** From the request to the last byte that the runtime took; letters where bytes came. */
function row(layer: LayerView, width: number, msOf: number): string {
  const column = (ms: number) => Math.min(width - 1, Math.floor(ms / msOf));
  const cells = new Array<string>(width).fill(' ');
  const { requestedMs, firstPieceMs, lastPieceMs, lastDeliveredMs } = layer;
  const begin = requestedMs ?? firstPieceMs;
  if (begin === undefined) return `(not asked for: the runtime has it)`;
  const end = column(Math.max(lastDeliveredMs ?? 0, lastPieceMs ?? 0, begin));
  cells.fill(firstPieceMs === undefined ? '.' : '-', column(begin), end + 1);
  if (firstPieceMs !== undefined) cells.fill('.', column(begin), Math.max(column(begin), column(firstPieceMs)));
  for (const [cell, letter] of letters(layer, column)) cells[cell] = letter;
  return cells.join('').trimEnd();
}

/** For each column in which bytes came, the letter of the source that brought most. */
function letters({ timeline }: LayerView, column: (ms: number) => number): Map<number, string> {
  const most = new Map<number, { bytes: number; letter: string }>();
  for (const [at, source] of byteSources.entries()) {
    for (const [bin, bytes] of (timeline.bytes[source] ?? []).entries()) {
      if (bytes === 0) continue;
      const from = column(bin * timeline.binMs);
      const to = Math.max(from + 1, column((bin + 1) * timeline.binMs));
      for (let cell = from; cell < to; cell += 1) {
        if ((most.get(cell)?.bytes ?? 0) < bytes) most.set(cell, { bytes, letter: sourceLetters[at] ?? '' });
      }
    }
  }
  return new Map([...most].map(([cell, { letter }]) => [cell, letter]));
}

const sendersShown = 10;

function senders(pull: PullDetail): string[] {
  const shown = pull.senders.slice(0, sendersShown).map(({ id, zone, bytes, source }) => {
    const what = source === 'origin' ? 'registry' : `${source}${zone === undefined ? '' : `, zone ${zone}`}`;
    return `  ${formatBytes(bytes).padStart(10)}  ${id} (${what})`;
  });
  const left = pull.senders.length - shown.length;
  return left > 0 ? [...shown, `              and ${left} more`] : shown;
}
