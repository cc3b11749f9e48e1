import { byId, formatBytes, h, setText } from './dom.js';

const rowsShown = 50;
let known = [];

/** Shows the nodes: a picture with all of them, a table with those that the filter finds. */
export function showPeers(peers, swarm) {
  known = peers;
  byId('swarm-view').hidden = peers.length === 0;
  const received = peers.filter((peer) => peer.received > 0).length;
  const text =
    peers.length === 0
      ? 'This node is alone: no other node is configured.'
      : `${peers.length} nodes${swarm ? `, ${swarm.suspects} out of reach` : ''}; ${received} of them gave pieces to this one.`;
  setText(byId('swarm-text'), text);
  if (peers.length === 0) return;
  showTable();
  draw(peers);
}

function showTable() {
  const wanted = byId('peer-filter').value.trim().toLowerCase();
  const found = known
    .filter(({ id, zone }) => id.toLowerCase().includes(wanted) || zone.toLowerCase().includes(wanted))
    .sort((a, b) => b.received + b.sent - (a.received + a.sent) || a.id.localeCompare(b.id));
  const rows = found
    .slice(0, rowsShown)
    .map(({ id, zone, self, state, received, sent }) =>
      h(
        'tr',
        {},
        h('td', {}, id),
        h('td', {}, zone || '–'),
        h('td', { class: state === 'suspect' ? 'degraded' : '' }, self ? 'this node' : state),
        h('td', { class: 'number' }, formatBytes(received)),
        h('td', { class: 'number' }, formatBytes(sent)),
      ),
    );
  byId('peer-rows').replaceChildren(...rows);
  const left = found.length - rows.length;
  setText(byId('peer-rest'), left > 0 ? `and ${left} more` : '');
}

/** This node in the middle, a sector for each zone, nearer nodes first; lines as thick as what was received. */
function draw(peers) {
  const canvas = byId('swarm-picture');
  const size = canvas.clientWidth;
  if (size === 0) return;
  const scale = globalThis.devicePixelRatio || 1;
  canvas.width = size * scale;
  canvas.height = size * scale;
  const context = canvas.getContext('2d');
  context.scale(scale, scale);
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(`--paint-${name}`) || style.color;
  const others = peers.filter(({ self }) => !self);
  const most = Math.max(1, ...others.map(({ received, sent }) => Math.max(received, sent)));
  const centre = size / 2;
  const radius = Math.max(2, Math.min(7, 90 / Math.sqrt(others.length + 1)));
  for (const { peer, angle, ring } of placed(others)) {
    const distance = centre * (0.42 + 0.48 * ring);
    const x = centre + distance * Math.cos(angle);
    const y = centre + distance * Math.sin(angle);
    for (const [bytes, paint] of [
      [peer.sent, 'sent'],
      [peer.received, peer.role === 'mirror' ? 'mirror' : 'peer'],
    ]) {
      if (bytes === 0) continue;
      context.strokeStyle = colour(paint);
      context.globalAlpha = 0.25 + (0.65 * bytes) / most;
      context.lineWidth = 1 + (4 * bytes) / most;
      context.beginPath();
      context.moveTo(centre, centre);
      context.lineTo(x, y);
      context.stroke();
    }
    context.globalAlpha = peer.state === 'reachable' ? 1 : 0.4;
    context.fillStyle = colour(peer.state === 'suspect' ? 'suspect' : peer.role === 'mirror' ? 'mirror' : 'peer');
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fill();
  }
  context.globalAlpha = 1;
  context.fillStyle = colour('ink');
  context.beginPath();
  context.arc(centre, centre, 10, 0, 2 * Math.PI);
  context.fill();
  nameZones(context, others, centre, colour('ink'));
}

/** Where each node goes: its zone's sector, filled ring by ring. */
function placed(peers) {
  const places = [];
  for (const { from, to, members } of sectors(peers)) {
    const width = to - from;
    const rings = Math.max(1, Math.round(Math.sqrt(members.length / (4 * Math.max(width, 0.2)))));
    const inRing = Math.ceil(members.length / rings);
    for (const [at, peer] of members.entries()) {
      const ring = Math.floor(at / inRing);
      const share = (at % inRing) + 0.5;
      places.push({ peer, angle: from + (width * share) / inRing, ring: rings === 1 ? 0.5 : ring / (rings - 1) });
    }
  }
  return places;
}

function sectors(peers) {
  const zones = Map.groupBy(peers, ({ zone = '' }) => zone);
  const gap = zones.size > 1 ? 0.08 : 0;
  let angle = -Math.PI / 2;
  return [...zones]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([zone, members]) => {
      const width = (2 * Math.PI * members.length) / peers.length;
      const sector = { zone, members, from: angle + gap / 2, to: angle + width - gap / 2 };
      angle += width;
      return sector;
    });
}

function nameZones(context, peers, centre, ink) {
  context.fillStyle = ink;
  context.font = '13px system-ui, sans-serif';
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  for (const { zone, from, to, members } of sectors(peers)) {
    if (zone === '') continue;
    const angle = (from + to) / 2;
    const text = `${zone} (${members.length})`;
    // On the inner circle, where no node is.
    context.fillText(text, centre + centre * 0.27 * Math.cos(angle), centre + centre * 0.27 * Math.sin(angle));
  }
}

byId('peer-filter').addEventListener('input', showTable);
addEventListener('resize', () => draw(known));
