import type { Result } from './report.ts';
import { bound } from './scenarios.ts';

const width = 720;
const height = 360;
const margin = { left: 56, right: 150, top: 20, bottom: 44 };
const colours = ['#0b6e99', '#d9730d', '#0f7b6c', '#ad1a72', '#6940a5', '#64473a', '#e03e3e'];
/** Multiples of the bound that the time axis shows. */
const timeSpan = 1.6;

/** What share of the bytes had arrived at which time, one curve a run; the bound as a dashed line. */
export function plot(results: readonly Result[]): string {
  const curves = results.map((result, ordinal) => curve(result, colours[ordinal % colours.length] ?? '#000', ordinal));
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...[0, 0.25, 0.5, 0.75, 1].map((share) => gridLine(share)),
    ...[0, 0.5, 1, 1.5].map((time) => tick(time)),
    `<path d="M${point(0, 0)} L${point(1, 1)}" stroke="#999" stroke-dasharray="5 4" fill="none"/>`,
    ...curves,
    `<text x="${margin.left}" y="${height - 8}">time, as a multiple of the bound (dashed)</text>`,
    '</svg>',
  ].join('\n')}\n`;
}

function x(time: number): string {
  return (margin.left + (time / timeSpan) * (width - margin.left - margin.right)).toFixed(1);
}

function y(share: number): string {
  return (height - margin.bottom - share * (height - margin.top - margin.bottom)).toFixed(1);
}

function point(time: number, share: number): string {
  return `${x(time)},${y(share)}`;
}

function gridLine(share: number): string {
  return `<path d="M${point(0, share)} L${point(timeSpan, share)}" stroke="#ddd"/><text x="${margin.left - 8}" y="${y(share)}" text-anchor="end" dy="4">${share * 100} %</text>`;
}

function tick(time: number): string {
  return `<text x="${x(time)}" y="${height - margin.bottom + 16}" text-anchor="middle">${time}</text>`;
}

function curve(result: Result, colour: string, ordinal: number): string {
  const { row, outcome } = result;
  const points = outcome.curve
    .map(([time, share]) => ({ time: time / bound(row.scenario), share }))
    .filter(({ time }) => time >= 0 && time <= timeSpan)
    .map(({ time, share }) => point(time, share));
  const label = `${row.scenario.nodes} nodes: ${result.last.toFixed(2)} ×`;
  const labelY = margin.top + 14 + ordinal * 18;
  return `<path d="M${points.join(' L')}" stroke="${colour}" stroke-width="1.8" fill="none"/><text x="${width - margin.right + 12}" y="${labelY}" fill="${colour}">${label}</text>`;
}
