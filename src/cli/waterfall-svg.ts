import { byteSources } from '../pull/observer.ts';
import type { PullDetail } from '../pull/pull-record.ts';
import { formatBytes, formatMs } from '../units.ts';
import { shortDigest } from './format.ts';
import { describeSources, sourceNames } from './sources.ts';
import { phasesOf } from './waterfall.ts';

const width = 960;
const labelWidth = 190;
const rowHeight = 22;
const head = 92;

/** The same waterfall as a picture that stands alone: light or dark as its reader's screen. */
export function waterfallSvg(pull: PullDetail): string {
  const chart = width - labelWidth - 20;
  const x = (ms: number) => labelWidth + (Math.min(ms, pull.elapsedMs) / Math.max(pull.elapsedMs, 1)) * chart;
  const height = head + pull.layers.length * rowHeight + 34;
  const phases = phasesOf(pull).map(
    ({ name, from, to }, at) =>
      `<rect class="phase${at % 2}" x="${px(x(from))}" y="58" width="${px(x(to) - x(from))}" height="${height - 92}"><title>${escaped(`${name}: ${formatMs(to - from)}`)}</title></rect>`,
  );
  const rows = pull.layers.map((layer, at) => {
    const y = head + at * rowHeight;
    const begin = layer.requestedMs ?? layer.firstPieceMs;
    const end = Math.max(layer.lastDeliveredMs ?? 0, layer.lastPieceMs ?? 0);
    const label = `<text x="8" y="${y + 12}">${shortDigest(layer.digest)} ${formatBytes(layer.size)}</text>`;
    if (begin === undefined) return `${label}<text class="faint" x="${labelWidth}" y="${y + 12}">not asked for</text>`;
    const line = `<rect class="span" x="${px(x(begin))}" y="${y + 6}" width="${px(Math.max(1, x(end) - x(begin)))}" height="3"/>`;
    return `${label}${line}${bars(layer, x, y)}`;
  });
  const legend = byteSources.map(
    (source, at) =>
      `<rect class="${source}" x="${labelWidth + at * 110}" y="${height - 24}" width="12" height="12"/><text x="${labelWidth + 16 + at * 110}" y="${height - 14}">${sourceNames[source]}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" font-family="sans-serif" font-size="12">
<title>${escaped(`Pull ${pull.id} of ${pull.image}`)}</title>
<style>
:root { color-scheme: light dark; }
text { fill: #1c2733; } .paper { fill: #fff; } .faint { fill: #66727f; } .phase0 { fill: #f2f5f8; } .phase1 { fill: #e6ecf2; } .span { fill: #9aa7b4; }
.memory { fill: #6a4bbc; } .disk { fill: #2a78c2; } .peer { fill: #168a5b; } .mirror { fill: #8a7a12; } .origin { fill: #c2521b; }
@media (prefers-color-scheme: dark) {
text { fill: #e4eaf0; } .paper { fill: #14191f; } .faint { fill: #93a0ad; } .phase0 { fill: #1b222a; } .phase1 { fill: #232c36; } .span { fill: #5a6673; }
.memory { fill: #a48ff0; } .disk { fill: #5aa9f0; } .peer { fill: #3fc78d; } .mirror { fill: #d2bf3a; } .origin { fill: #f08a52; }
}
</style>
<rect class="paper" width="${width}" height="${height}"/>
<text x="8" y="20" font-size="15" font-weight="bold">${escaped(pull.image)}</text>
<text class="faint" x="8" y="40">${escaped(`${pull.state} after ${formatMs(pull.elapsedMs)}; ${describeSources(pull.bytes)}`)}</text>
${phases.join('\n')}
<text class="faint" x="${labelWidth}" y="74">0</text><text class="faint" x="${width - 20}" y="74" text-anchor="end">${formatMs(pull.elapsedMs)}</text>
${rows.join('\n')}
${legend.join('\n')}
</svg>
`;
}

/** The height of a bar is the share of its source in its bin. */
function bars({ timeline }: PullDetail['layers'][number], x: (ms: number) => number, y: number): string {
  const bins = Math.max(0, ...Object.values(timeline.bytes).map((own) => own.length));
  let out = '';
  for (let bin = 0; bin < bins; bin += 1) {
    const all = byteSources.reduce((sum, source) => sum + (timeline.bytes[source]?.[bin] ?? 0), 0);
    let top = y;
    for (const source of byteSources) {
      const bytes = timeline.bytes[source]?.[bin] ?? 0;
      if (bytes === 0) continue;
      const height = (bytes / all) * 15;
      const from = x(bin * timeline.binMs);
      const to = x((bin + 1) * timeline.binMs);
      out += `<rect class="${source}" x="${px(from)}" y="${px(top)}" width="${px(Math.max(1, to - from))}" height="${px(height)}"><title>${formatBytes(bytes)} from ${sourceNames[source]}</title></rect>`;
      top += height;
    }
  }
  return out;
}

function px(value: number): string {
  return value.toFixed(1);
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
