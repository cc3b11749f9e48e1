/** Small helpers: every text goes in as text, never as markup. */

export const sources = ['memory', 'disk', 'peer', 'mirror', 'origin'];
export const sourceNames = { memory: 'memory', disk: 'disk', peer: 'peers', mirror: 'mirrors', origin: 'registry' };
/** Letters of the piece maps, in the order of `sources`. */
export const letters = 'mdpxo';

export const byId = (id) => document.getElementById(id);

/** An element with its properties and children; `class` and `data-…` are attributes. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && name !== 'class') element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function formatBytes(bytes) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

export function formatMs(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  return minutes < 60
    ? `${minutes} min ${Math.floor((ms % 60_000) / 1000)} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function formatShare(part, whole) {
  if (whole === 0) return '0 %';
  const percent = (100 * part) / whole;
  return `${percent > 0 && percent < 1 ? percent.toFixed(1) : Math.round(percent)} %`;
}

export const allBytes = (bytes) => sources.reduce((sum, source) => sum + bytes[source], 0);

/** Fills a bar with the shares of the sources; its label says the same in words. */
export function fillBar(bar, bytes, whole = allBytes(bytes)) {
  if (bar.childElementCount === 0) bar.append(...sources.map((source) => h('span', { class: source })));
  for (const [at, source] of sources.entries()) {
    bar.children[at].style.width = whole === 0 ? '0' : `${(100 * bytes[source]) / whole}%`;
  }
  bar.setAttribute('aria-label', describeShares(bytes) || 'no bytes yet');
}

export function describeShares(bytes) {
  const all = allBytes(bytes);
  return sources
    .filter((source) => bytes[source] > 0)
    .sort((a, b) => bytes[b] - bytes[a])
    .map((source) => `${formatShare(bytes[source], all)} ${sourceNames[source]}`)
    .join(', ');
}
