// The map of many cells: one canvas over what can be seen of it, drawn anew only
// where something changed.
import { html, useEffect, useRef, useState } from './lib.js';
import { store, subscribe, stateOf } from './store.js';
import { hue } from './format.js';
import { go } from './ui.js';

const DOT = 7, GAP = 2, PAD = 7, TITLE = 15, COLUMNS = 12;
const style = (n) => getComputedStyle(document.documentElement).getPropertyValue(n).trim();

function palette() {
  const p = { text: style('--muted'), line: style('--line'), bg: style('--bg'), surface: style('--surface'), bad: style('--bad-dot'), warn: style('--warn-dot'), idle: style('--line-strong'), chroma: style('--dot-chroma'), light: style('--dot-light'), apps: new Map() };
  p.of = (app) => { let c = p.apps.get(app); if (!c) p.apps.set(app, c = `hsl(${hue(app)} ${p.chroma} ${p.light})`); return c; };
  return p;
}

// plan says where each cell is, in columns of boxes of one size.
function plan(cells, width) {
  let most = 1;
  for (const c of cells) most = Math.max(most, c.ids.size);
  const across = Math.min(COLUMNS, Math.max(4, Math.ceil(Math.sqrt(most * 1.6)))), down = Math.ceil(most / across);
  const w = across * (DOT + GAP) - GAP + 2 * PAD, h = down * (DOT + GAP) - GAP + 2 * PAD + TITLE;
  const columns = Math.max(1, Math.floor((width - 8) / (w + 8)));
  return { across, w, h, columns, place: (i) => [8 + (i % columns) * (w + 8), 8 + Math.floor(i / columns) * (h + 8)], height: 8 + Math.ceil(cells.length / columns) * (h + 8) };
}

function drawDot(g, p, i, x, y) {
  const state = stateOf(i);
  g.globalAlpha = state === 'leaving' ? 0.35 : 1;
  g.fillStyle = state === 'crashed' ? p.bad : state === 'unclaimed' ? p.idle : p.of(i.app);
  g.fillRect(x, y, DOT, DOT);
  if (state === 'claimed' || state === 'unready') { g.fillStyle = p.surface; g.fillRect(x + 2, y + 2, DOT - 4, DOT - 4); }
  if (state === 'crashed') { g.fillStyle = p.surface; g.fillRect(x + 3, y, 1, DOT); g.fillRect(x, y + 3, DOT, 1); }
  g.globalAlpha = 1;
}

function drawCell(g, p, m, c, x, y) {
  g.fillStyle = p.surface; g.fillRect(x - 1, y - 1, m.w + 2, m.h + 2);
  g.fillStyle = p.bg; g.fillRect(x, y, m.w, m.h);
  g.strokeStyle = c.spec.state === 'DEAD' ? p.bad : c.spec.state === 'SUSPECT' || c.spec.draining ? p.warn : p.line;
  g.strokeRect(x + .5, y + .5, m.w - 1, m.h - 1);
  g.fillStyle = p.text;
  g.fillText(c.spec.id, x + PAD, y + 14, m.w - 2 * PAD);
  let k = 0;
  for (const id of c.ids) {
    drawDot(g, p, store.instances.get(id), x + PAD + (k % m.across) * (DOT + GAP), y + TITLE + PAD + Math.floor(k / m.across) * (DOT + GAP));
    k++;
  }
}

export function CellMap({ cells }) {
  const box = useRef(), canvas = useRef(), shown = useRef({}), [tip, setTip] = useState(null);
  shown.current.cells = cells;
  useEffect(() => {
    const el = box.current, c = canvas.current, g = c.getContext('2d', { alpha: false }), s = shown.current;
    let p = palette(), frame = 0, all = true;
    const later = (whole) => { all ||= whole; if (!frame) frame = requestAnimationFrame(draw); };
    const draw = () => {
      frame = 0;
      const k = devicePixelRatio || 1, w = el.clientWidth, h = el.clientHeight, m = s.plan = plan(s.cells, w);
      if (s.key !== [m.across, m.w, m.h, m.columns, s.cells.length].join()) { s.key = [m.across, m.w, m.h, m.columns, s.cells.length].join(); all = true; }
      if (c.width !== w * k || c.height !== h * k) { c.width = w * k; c.height = h * k; c.style.width = w + 'px'; c.style.height = h + 'px'; all = true; }
      el.querySelector('.space').style.height = m.height + 'px';
      const top = el.scrollTop;
      g.setTransform(k, 0, 0, k, 0, 0);
      g.font = '10px ' + style('--sans');
      if (all) { g.fillStyle = p.surface; g.fillRect(0, 0, w, h); }
      const from = Math.max(0, Math.floor((top - 8) / (m.h + 8))) * m.columns, to = Math.min(s.cells.length, Math.ceil((top + h) / (m.h + 8)) * m.columns);
      for (let i = from; i < to; i++) {
        const cell = s.cells[i];
        if (!all && !store.dirty.has(cell.spec.id)) continue;
        const [x, y] = m.place(i);
        drawCell(g, p, m, cell, x, y - top);
      }
      store.dirty.clear();
      all = false;
    };
    s.redraw = () => later(true);
    const scroll = () => later(true), theme = () => { p = palette(); later(true); }, dark = matchMedia('(prefers-color-scheme: dark)');
    const off = subscribe(() => later(false)), size = new ResizeObserver(scroll);
    el.addEventListener('scroll', scroll, { passive: true });
    addEventListener('themechange', theme); dark.addEventListener('change', theme);
    size.observe(el);
    later(true);
    return () => { off(); size.disconnect(); cancelAnimationFrame(frame); removeEventListener('themechange', theme); dark.removeEventListener('change', theme); };
  }, []);
  useEffect(() => shown.current.redraw(), [cells]);

  const find = (e) => {
    const { plan: m, cells } = shown.current, r = box.current.getBoundingClientRect();
    if (!m) return null;
    const x = e.clientX - r.left - 8, y = e.clientY - r.top + box.current.scrollTop - 8, col = Math.floor(x / (m.w + 8)), row = Math.floor(y / (m.h + 8));
    const cell = col < m.columns && col >= 0 ? cells[row * m.columns + col] : null;
    if (!cell) return null;
    const dx = x - col * (m.w + 8) - PAD, dy = y - row * (m.h + 8) - TITLE - PAD, i = Math.floor(dx / (DOT + GAP)), j = Math.floor(dy / (DOT + GAP));
    const id = i >= 0 && i < m.across && j >= 0 ? [...cell.ids][j * m.across + i] : undefined;
    return { cell, instance: id && store.instances.get(id) };
  };
  const move = (e) => { const f = find(e); setTip(f && { x: e.clientX + 12, y: e.clientY + 14, text: f.instance ? `${f.instance.app}/${f.instance.index} · ${stateOf(f.instance)} · ${f.cell.spec.id}` : `${f.cell.spec.id} · ${f.cell.ids.size} instances` }); };
  const click = (e) => { const f = find(e); if (f) go(f.instance ? '/apps/' + f.instance.app : '/cells/' + encodeURIComponent(f.cell.spec.id)); };
  return html`<div class="map card" ref=${box} tabindex="0" role="img" aria-label=${`Map of ${cells.length} cells. The page Cells has the same as a list.`} onMouseMove=${move} onMouseLeave=${() => setTip(null)} onClick=${click}>
    <div class="space"></div><canvas ref=${canvas}></canvas></div>${tip && html`<div class="tip" style=${{ left: tip.x + 'px', top: tip.y + 'px' }}>${tip.text}</div>`}`;
}
