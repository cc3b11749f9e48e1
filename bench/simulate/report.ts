import { imageBytes } from './image.ts';
import { bound, type Row } from './scenarios.ts';
import type { Outcome } from './swarm-model.ts';

const MiB = 2 ** 20;

/** What a run came to, in the units of the issue: multiples of the image and of the bound. */
export interface Result {
  readonly row: Row;
  readonly outcome: Outcome;
  readonly origin: number;
  readonly crossZone: number;
  /** Of the nodes with full bandwidth: at the median, the 99th percentile, and the last. */
  readonly median: number;
  readonly late: number;
  readonly last: number;
}

export function resultOf(row: Row, outcome: Outcome): Result {
  const bytes = imageBytes(row.scenario.image);
  const times = outcome.durations.toSorted((one, other) => one - other).map((time) => time / bound(row.scenario));
  const at = (share: number): number => times[Math.floor((times.length - 1) * share)] ?? Number.NaN;
  return {
    row,
    outcome,
    origin: outcome.originBytes / bytes,
    crossZone: outcome.crossZoneBytes / bytes,
    median: at(0.5),
    late: at(0.99),
    last: at(1),
  };
}

const widths = [26, 6, 6, 15, 7, 7, 7, 7, 7, 7, 6] as const;

function line(cells: readonly string[]): string {
  return cells
    .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column] ?? 0)))
    .join(' ');
}

export const header = line([
  'scenario',
  'nodes',
  'zones',
  'pieces',
  'origin',
  'cross',
  'median',
  'p99',
  'last',
  'msg/pc',
  'busy',
]);

export function tableLine(result: Result): string {
  const { row, outcome } = result;
  const { scenario } = row;
  const pieces = scenario.image.blobs.length * scenario.image.piecesPerBlob;
  return line([
    row.title,
    `${scenario.nodes}`,
    `${scenario.zones}`,
    `${pieces} × ${scenario.image.pieceBytes / MiB} MiB`,
    result.origin.toFixed(3),
    result.crossZone.toFixed(2),
    result.median.toFixed(2),
    result.late.toFixed(2),
    result.last.toFixed(2),
    (outcome.messages / scenario.nodes / pieces).toFixed(1),
    `${Math.round((100 * outcome.busy) / outcome.requests)} %`,
  ]);
}

export function lastLine(result: Result): string {
  const { nodes } = result.row.scenario;
  return `simulate: nodes ${nodes} origin ${result.origin.toFixed(3)}x time ${result.last.toFixed(2)}x of bound cross-zone ${result.crossZone.toFixed(2)}x`;
}
