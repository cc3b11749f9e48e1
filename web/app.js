import {
  allBytes,
  byId,
  fillBar,
  formatBytes,
  formatMs,
  formatShare,
  h,
  setText,
  sourceNames,
  sources,
} from './dom.js';
import { showPulls } from './pulls.js';
import { showPeers } from './swarm.js';

/** Milliseconds between two looks while the page is seen. */
const lookEveryMs = 1000;
/** Nodes come and go slowly: one look in so many. */
const peersEvery = 3;

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(5000) });
  return answer.ok ? await answer.json() : undefined;
}

function showStatus({ version, engine, supervisor, conditions, ready }) {
  const host = location.hostname;
  setText(
    byId('node'),
    `${engine?.swarm?.id ?? host}${engine?.swarm?.zone ? ` in zone ${engine.swarm.zone}` : ''}, version ${version}`,
  );
  const bad = conditions.filter(({ state }) => state !== 'ok');
  const state = ready ? (bad.length > 0 ? 'degraded' : 'ok') : 'failed';
  const words = { ok: 'ready', degraded: 'ready, degraded', failed: 'not ready: pulls are not accelerated' };
  setText(byId('state'), words[state]);
  byId('state').className = state;
  byId('conditions').hidden = bad.length === 0;
  const items = bad.map(({ name, state: own, since, reason = '' }) =>
    h('li', { class: own }, `${name} ${own} since ${since.slice(0, 19).replace('T', ' ')} UTC: ${reason}`),
  );
  byId('condition-list').replaceChildren(...items);
  showCounts(supervisor, engine);
  if (engine?.store) showCache(engine.store);
}

function showCounts(supervisor, engine) {
  const sum = (matches) => (supervisor?.pulls ?? []).filter(matches).reduce((total, { count }) => total + count, 0);
  setText(byId('active'), engine?.pulls ? `${engine.pulls.active} under way` : '–');
  const plain = sum(({ accelerated }) => !accelerated);
  const failed = sum(({ result }) => result === 'failed');
  setText(
    byId('ended'),
    `${sum(({ accelerated, result }) => accelerated && result === 'ok')} ok, ${failed} failed, ${plain} not accelerated`,
  );
  if (!engine?.pulls) return;
  const { bytes } = engine.pulls;
  const all = allBytes(bytes);
  setText(byId('avoided'), formatBytes(all - bytes.origin));
  const since = formatMs(Date.now() - engine.process.startedAt * 1000);
  setText(byId('avoided-of'), `${formatShare(all - bytes.origin, all)} of ${formatBytes(all)} in ${since}`);
  fillBar(byId('sources'), bytes);
  const legend = sources.map((source) =>
    h('span', {}, h('span', { class: `swatch ${source}` }), `${sourceNames[source]} ${formatBytes(bytes[source])}`),
  );
  byId('legend').replaceChildren(...legend);
}

function showCache({ memory, disk, pieces, blobs, hits, misses, evictions, corrupt }) {
  const tier = ({ used, capacity }) =>
    `${formatBytes(used)} of ${formatBytes(capacity)} (${formatShare(used, capacity)})`;
  const found = hits.memory + hits.disk;
  const facts = [
    ['Memory', `${tier(memory)}, ${formatBytes(memory.dirty)} not on the disk yet`],
    ...(disk ? [['Disk', disk.degraded ? `out of use: ${disk.degraded}` : `${tier(disk)}, ${disk.engine}`]] : []),
    ['Content', `${pieces} pieces of ${blobs} blobs`],
    ['Reads', `${formatShare(found, found + misses)} found here: ${hits.memory} in memory, ${hits.disk} on the disk`],
    ['Dropped', `${evictions} for room, ${corrupt} damaged`],
  ];
  byId('cache-rows').replaceChildren(...facts.flatMap(([name, text]) => [h('dt', {}, name), h('dd', {}, text)]));
}

let looks = 0;
/** When the engine last told something. */
let told;

/** What the engine doesn't tell now is as it was, or not known at all. */
function showAge(answers) {
  if (answers) told = new Date();
  byId('stale').hidden = answers;
  if (answers) return;
  const since = told?.toISOString().slice(0, 19).replace('T', ' ');
  setText(
    byId('stale'),
    told === undefined
      ? 'Of pulls, swarm and cache nothing is known while the engine does not answer.'
      : `What follows is what the engine told at ${since} UTC.`,
  );
}

async function look() {
  try {
    const status = await ask('api/status');
    if (status === undefined) throw new Error('no status');
    showStatus(status);
    showAge(status.engine !== undefined);
    const pulls = await ask('api/pulls');
    if (pulls) showPulls(pulls, (id) => ask(`api/pulls/${id}`));
    if (looks % peersEvery === 0) {
      const peers = await ask('api/peers');
      if (peers) showPeers(peers, status.engine?.swarm);
    }
    looks += 1;
    document.body.dataset.looks = String(looks);
  } catch {
    setText(byId('state'), 'the agent does not answer');
    byId('state').className = 'failed';
    showAge(false);
  }
}

/** One look after the other, never two at once; none while nobody sees the page. */
async function follow() {
  if (!document.hidden) await look();
  setTimeout(follow, lookEveryMs);
}

const themes = ['auto', 'light', 'dark'];

function setTheme(theme) {
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  setText(byId('theme'), `Theme: ${theme}`);
  localStorage.setItem('theme', theme);
}

byId('theme').addEventListener('click', () => {
  const now = themes.indexOf(localStorage.getItem('theme') ?? 'auto');
  setTheme(themes[(now + 1) % themes.length]);
});
setTheme(themes.includes(localStorage.getItem('theme')) ? localStorage.getItem('theme') : 'auto');
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) void look();
});
void follow();
