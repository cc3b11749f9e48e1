import {
  allBytes,
  byId,
  describeShares,
  fillBar,
  formatBytes,
  formatMs,
  h,
  letters,
  setText,
  sources,
  svg,
} from './dom.js';

/** Rows of the table by the pull, kept over updates so that the focus stays where it is. */
const rows = new Map();
/** Another engine counts from 1 again. */
const keyOf = ({ id, began }) => `${id} ${began}`;

/** Shows the list; details of those that are unfolded are fetched by `detail(id)`. */
export function showPulls(pulls, detail) {
  byId('no-pulls').hidden = pulls.length > 0;
  byId('pull-table').hidden = pulls.length === 0;
  const body = byId('pull-rows');
  const keys = new Set(pulls.map(keyOf));
  for (const [key, row] of rows) {
    if (keys.has(key)) continue;
    row.summary.remove();
    row.more.remove();
    rows.delete(key);
  }
  // The newest first: what is new goes to the top.
  for (const pull of pulls.toReversed()) {
    const row = rows.get(keyOf(pull)) ?? addRow(body, pull, detail);
    update(row, pull);
    if (row.open && (pull.state === 'pulling' || row.stale)) void refresh(row, pull, detail);
  }
  showFailures(pulls);
}

function addRow(body, pull, detail) {
  const button = h('button', {
    class: 'image',
    type: 'button',
    'aria-expanded': 'false',
    'aria-controls': `pull-${pull.id}`,
  });
  const cells = { state: h('td'), time: h('td', { class: 'number' }), bytes: h('td', { class: 'number' }) };
  const bar = h('div', { class: 'bar small', role: 'img' });
  const pod = h('div', { class: 'faint' });
  const summary = h('tr', {}, h('td', {}, button, pod), cells.state, cells.time, cells.bytes, h('td', {}, bar));
  const inner = h('td', { colSpan: 5 });
  const more = h('tr', { id: `pull-${pull.id}`, hidden: true }, inner);
  const row = { summary, more, inner, button, pod, bar, ...cells, open: false, stale: true };
  button.addEventListener('click', () => {
    row.open = !row.open;
    more.hidden = !row.open;
    button.setAttribute('aria-expanded', String(row.open));
    if (row.open) void refresh(row, pull, detail);
  });
  body.prepend(summary, more);
  rows.set(keyOf(pull), row);
  return row;
}

function update(row, pull) {
  setText(row.button, pull.image);
  setText(row.pod, pull.pod ? `${pull.pod.namespace}/${pull.pod.name}` : '');
  setText(row.state, pull.fellBack ? `${pull.state}, fell back` : pull.state);
  row.state.className = pull.state === 'failed' ? 'failed' : pull.state === 'ok' ? 'ok' : '';
  setText(row.time, formatMs(pull.elapsedMs));
  setText(row.bytes, formatBytes(allBytes(pull.bytes)));
  // While it runs the bar is as full as the image is here.
  fillBar(row.bar, pull.bytes, pull.state === 'pulling' ? Math.max(pull.layerBytes, allBytes(pull.bytes)) : undefined);
  row.bar.title = describeShares(pull.bytes);
}

async function refresh(row, { id }, detail) {
  const pull = await detail(id);
  if (pull === undefined) return;
  row.stale = pull.state === 'pulling';
  row.inner.replaceChildren(...describe(pull));
}

function describe(pull) {
  const times = [
    `begun ${pull.began.slice(0, 19).replace('T', ' ')} UTC`,
    ...(pull.manifestMs === undefined ? [] : [`manifest after ${formatMs(pull.manifestMs)}`]),
    ...(pull.firstByteMs === undefined ? [] : [`first byte after ${formatMs(pull.firstByteMs)}`]),
    `let in by ${pull.rule}`,
    ...(pull.peers > 0 ? [`${pull.peers} nodes gave pieces`] : []),
  ];
  return [
    h('p', { class: 'faint' }, `Pull ${pull.id}: ${times.join('; ')}.`),
    ...pull.layers.map((layer) => describeLayer(layer, Math.max(pull.elapsedMs, 1))),
    ...pull.causes.map(({ atMs, text }) => h('p', { class: 'failed' }, `After ${formatMs(atMs)}: ${text}`)),
  ];
}

function describeLayer(layer, elapsedMs) {
  const name = layer.digest.slice(7, 19);
  const what = `${name} ${formatBytes(layer.size)}`;
  if (layer.requestedMs === undefined && layer.firstPieceMs === undefined) {
    return h('div', { class: 'layer' }, h('span', {}, what), h('span', { class: 'faint' }, 'not asked for'));
  }
  const words = describeShares(layer.bytes) || 'nothing yet';
  return h(
    'div',
    { class: 'layer', title: `${layer.digest}: ${words}` },
    h('span', {}, what, h('span', { class: 'faint' }, ` ${words}`)),
    h('div', {}, pieceMap(layer, words), timeline(layer, elapsedMs)),
  );
}

/** A cell for each share of the pieces: where they came from; pale while some are missing. */
function pieceMap({ map, pieces }, words) {
  const cells = [...map].map((letter, at) => {
    const source = sources[letters.indexOf(letter.toLowerCase())] ?? 'none';
    const part = letter !== '.' && letter === letter.toLowerCase() ? ' part' : '';
    const width = at === map.length - 1 ? 1 : 0.92;
    return svg('rect', { class: `${source}${part}`, x: at, y: 0, width, height: 1 });
  });
  const label = { role: 'img', 'aria-label': `${pieces} pieces: ${words}` };
  return svg('svg', { class: 'map', viewBox: `0 0 ${map.length} 1`, preserveAspectRatio: 'none', ...label }, ...cells);
}

/** The layer over the pull's time: a line from the request to the last byte, bars where bytes came. */
function timeline(layer, elapsedMs) {
  const begin = layer.requestedMs ?? layer.firstPieceMs;
  const end = Math.max(layer.lastDeliveredMs ?? 0, layer.lastPieceMs ?? 0, begin);
  const x = (ms) => (1000 * Math.min(ms, elapsedMs)) / elapsedMs;
  const { binMs, bytes } = layer.timeline;
  const bins = Math.max(0, ...Object.values(bytes).map((own) => own.length));
  const bars = [svg('rect', { class: 'span', x: x(begin), y: 6, width: Math.max(2, x(end) - x(begin)), height: 2 })];
  for (let bin = 0; bin < bins; bin += 1) {
    const all = sources.reduce((sum, source) => sum + (bytes[source]?.[bin] ?? 0), 0);
    let y = 0;
    for (const source of sources) {
      const share = bytes[source]?.[bin] ?? 0;
      if (share === 0) continue;
      const height = (14 * share) / all;
      const from = x(bin * binMs);
      bars.push(svg('rect', { class: source, x: from, y, width: Math.max(2, x((bin + 1) * binMs) - from), height }));
      y += height;
    }
  }
  return svg(
    'svg',
    { class: 'time', viewBox: '0 0 1000 14', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    ...bars,
  );
}

const failuresShown = 20;

function showFailures(pulls) {
  const failures = pulls.filter(({ cause }) => cause !== undefined).slice(0, failuresShown);
  byId('no-failures').hidden = failures.length > 0;
  const items = failures.map(({ id, began, image, state, cause }) => {
    const came = state === 'ok' ? 'came all the same' : state;
    return h(
      'li',
      {},
      `${began.slice(0, 19).replace('T', ' ')} UTC, pull ${id}, ${image} (${came}): `,
      h('span', { class: 'failed' }, cause),
    );
  });
  byId('failure-rows').replaceChildren(...items);
}
