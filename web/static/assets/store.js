// The cluster as the brain last told it. Changes come as server-sent events and
// are applied as they come; who shows something is told once a frame at most.
import { useEffect, useState } from './lib.js';
import { get } from './api.js';
import { giveColours, takeColour } from './format.js';

export const store = {
  apps: new Map(), // name → { spec, ids: Set of instances, n: counts by state }
  cells: new Map(), // id → { spec, ids }
  instances: new Map(), // id → instance
  usage: new Map(), // id of an instance → [bytes of memory, percent of a core, bytes of disk]
  waiting: new Set(), // instances that have no cell
  points: { apps: {}, cells: {} }, // newest of the history
  trend: { apps: new Map(), cells: new Map() }, // name → newest points, oldest first
  state: 'connecting', // 'live', 'lost'
  complete: false,
  version: 0,
  dirty: new Set(), // cells whose instances changed, for the map to take
};

const TREND = 60;
const listeners = new Set();
let scheduled = false;

export function changed() {
  store.version++;
  if (scheduled) return;
  scheduled = true;
  const tell = () => { scheduled = false; for (const fn of [...listeners]) fn(); };
  if (document.hidden) setTimeout(tell, 1000); else requestAnimationFrame(tell);
}

export function subscribe(fn) { listeners.add(fn); return () => listeners.delete(fn); }

// useStore shows a component anew when something changed, at most each pause.
export function useStore(pause = 0) {
  const [, set] = useState(0), version = store.version;
  useEffect(() => {
    let last = 0, timer = 0;
    if (version !== store.version) set((n) => n + 1); // it changed before we listened
    const off = subscribe(() => {
      const due = last + pause - performance.now();
      if (due <= 0) { last = performance.now(); set((n) => n + 1); } else if (!timer) timer = setTimeout(() => { timer = 0; last = performance.now(); set((n) => n + 1); }, due);
    });
    return () => { off(); clearTimeout(timer); };
  }, []);
  return store;
}

export function stateOf(i) {
  if (i.stopping || i.draining) return 'leaving';
  return i.state === 'RUNNING' ? (i.unready ? 'unready' : 'running') : i.state.toLowerCase();
}

const noCounts = () => ({ running: 0, unready: 0, claimed: 0, crashed: 0, unclaimed: 0, leaving: 0 });

function appOf(name) {
  let a = store.apps.get(name);
  if (!a) store.apps.set(name, a = { spec: null, ids: new Set(), n: noCounts() });
  return a;
}

function cellOf(id) {
  let c = store.cells.get(id);
  if (!c) store.cells.set(id, c = { spec: null, ids: new Set() });
  return c;
}

function drop(id) {
  const i = store.instances.get(id);
  if (!i) return;
  const a = store.apps.get(i.app);
  if (a) { a.ids.delete(id); a.n[stateOf(i)]--; }
  if (i.cell) { store.cells.get(i.cell)?.ids.delete(id); store.dirty.add(i.cell); }
  store.waiting.delete(id);
  store.instances.delete(id);
}

function put(i) {
  drop(i.id);
  store.instances.set(i.id, i);
  const a = appOf(i.app);
  a.ids.add(i.id);
  a.n[stateOf(i)]++;
  if (i.cell) { cellOf(i.cell).ids.add(i.id); store.dirty.add(i.cell); } else store.waiting.add(i.id);
}

function clear() {
  for (const m of [store.apps, store.cells, store.instances, store.usage, store.waiting]) m.clear();
  store.complete = false;
}

// apply takes one event of the brain.
export function apply(s) {
  if (s.reset) clear();
  for (const a of s.apps ?? []) appOf(a.name).spec = a;
  giveColours((s.apps ?? []).toSorted((a, b) => a.created_at < b.created_at ? -1 : 1).map((a) => a.name));
  for (const c of s.cells ?? []) { cellOf(c.id).spec = c; store.dirty.add(c.id); }
  for (const id of s.gone?.instances ?? []) { drop(id); store.usage.delete(id); }
  for (const i of s.instances ?? []) put(i);
  for (const name of s.gone?.apps ?? []) { takeColour(name); store.apps.delete(name); store.trend.apps.delete(name); }
  for (const id of s.gone?.cells ?? []) { store.cells.delete(id); store.trend.cells.delete(id); }
  for (const id in s.usage ?? {}) store.usage.set(id, s.usage[id]);
  for (const name in s.trends ?? {}) store.trend.apps.set(name, s.trends[name]);
  if (s.points?.apps) takePoints(s.points);
  if (s.complete) store.complete = true;
  changed();
}

function takePoints(p) {
  if (p.at === store.points.at) return;
  store.points = p;
  for (const kind of ['apps', 'cells']) {
    for (const name in p[kind]) {
      let list = store.trend[kind].get(name);
      if (!list) store.trend[kind].set(name, list = []);
      list.push(p[kind][name]);
      if (list.length > TREND) list.shift();
    }
  }
}

let source = null;

export function connect() {
  if (source) source.close();
  source = new EventSource('/api/v1/live');
  source.onopen = () => { store.state = 'live'; changed(); };
  source.onmessage = (e) => apply(JSON.parse(e.data));
  source.onerror = () => {
    store.state = 'lost';
    changed();
    if (source.readyState !== EventSource.CLOSED) return;
    const closed = source;
    setTimeout(() => { if (source === closed) get('/info').then(connect, (err) => { if (err.status !== 401) connect(); }); }, 2000);
  };
}

export function disconnect() {
  if (source) source.close();
  source = null;
  clear();
}

export const sortedApps = () => [...store.apps.values()].filter((a) => a.spec).sort((x, y) => x.spec.name < y.spec.name ? -1 : 1);
export const sortedCells = () => [...store.cells.values()].filter((c) => c.spec).sort((x, y) => x.spec.id.localeCompare(y.spec.id, 'en', { numeric: true }));
export const instancesOf = (a) => [...a.ids].map((id) => store.instances.get(id)).sort((x, y) => x.index - y.index || x.since - y.since);
