import { html, useMemo } from '../lib.js';
import { store, useStore, sortedApps, sortedCells, stateOf } from '../store.js';
import { session } from '../session.js';
import { Bar, Empty, Head } from '../ui.js';
import { CellMap } from '../map.js';
import { bytes, colour, count, mib, percent } from '../format.js';

const BOXES = 60; // more cells are a map
const DOTS = 64; // of one box

export function Cluster() {
  const s = useStore(store.cells.size > BOXES ? 500 : 0), cells = sortedCells(), apps = sortedApps();
  const many = cells.length > BOXES;
  const sums = useMemo(() => total(s), [s.version]);
  const mapped = useMemo(() => cells, [cells.length, many && Math.floor(s.version / 50)]);
  return html`<${Head} title="Cluster" sub=${`Apps are at NAME.${domain()}`} />
    <div class="sums">
      <${Sum} n=${sums.running} of="running" /><${Sum} n=${sums.starting} of="starting" /><${Sum} n=${sums.crashed} of="crashed" bad />
      ${sums.waiting > 0 && html`<${Sum} n=${sums.waiting} of="without a cell" bad />`}
      <${Sum} n=${apps.length} of="apps" /><${Sum} n=${cells.length} of="cells" />
      <${Sum} n=${bytes(sums.memory)} of="memory in use" /><${Sum} n=${percent(sums.cpu)} of="of a core" />
    </div>
    ${!s.complete ? html`<p class="muted">Loading…</p>` : !cells.length ? html`<${Empty} title="No cells yet"><p>Apps run on cells. On a machine that shall be one: <code>lattice cell --join BRAIN --token-file FILE</code></p><//>`
      : many ? html`<${CellMap} cells=${mapped} />` : html`<${Zones} cells=${cells} />`}
    ${s.waiting.size > 0 && html`<h2 class="section">Without a cell</h2><div class="card pad"><div class="row">${[...s.waiting].slice(0, 200).map((id) => html`<${Inst} i=${s.instances.get(id)} />`)}</div></div>`}
    <div class="legend section">${many ? null : apps.slice(0, 24).map((a) => html`<a href=${'/apps/' + a.spec.name}><span class="chip" style=${{ '--c': colour(a.spec.name) }}></span>${a.spec.name}</a>`)}
      <span><i class="inst" style="--c: var(--muted)"></i>running</span><span><i class="inst claimed" style="--c: var(--muted)"></i>starting or not ready</span><span><i class="inst crashed"></i>crashed</span><span><i class="inst leaving" style="--c: var(--muted)"></i>stopping</span></div>`;
}

const domain = () => session.info?.domain ?? '';

function total(s) {
  const t = { running: 0, starting: 0, crashed: 0, waiting: s.waiting.size, memory: 0, cpu: 0 };
  for (const a of s.apps.values()) { t.running += a.n.running + a.n.unready; t.starting += a.n.claimed; t.crashed += a.n.crashed; }
  for (const u of s.usage.values()) { t.memory += u[0]; t.cpu += u[1]; }
  return t;
}

const Sum = ({ n, of, bad }) => html`<div class="sum"><b class=${bad && n ? 'bad' : ''}>${n}</b><span>${of}</span></div>`;

function Zones({ cells }) {
  const zones = Map.groupBy(cells, (c) => c.spec.zone);
  return [...zones].sort().map(([zone, list]) => html`<section class="zone" aria-label=${'Zone ' + zone}>
    ${zones.size > 1 || zone !== 'default' ? html`<div class="section"><h2>${zone}</h2><span class="muted">${count(list.length, 'cell')}</span></div>` : null}
    <div class="cells">${list.map((c) => html`<${CellBox} key=${c.spec.id} c=${c} />`)}</div></section>`);
}

export function CellState({ spec }) {
  if (spec.state === 'DEAD') return html`<span class="tag bad">dead</span>`;
  if (spec.state === 'SUSPECT') return html`<span class="tag warn">not heard of</span>`;
  if (spec.draining) return html`<span class="tag warn">draining</span>`;
  return html`<span class="tag ok">alive</span>`;
}

function CellBox({ c }) {
  const { spec } = c, ids = [...c.ids].sort();
  const list = ids.map((id) => store.instances.get(id)).sort((a, b) => a.app < b.app ? -1 : a.app > b.app ? 1 : a.index - b.index);
  const [memory, cpu, disk] = cellUsage(c);
  return html`<article class="card cellbox ${spec.state === 'DEAD' ? 'dead' : ''}"><header><a href=${'/cells/' + encodeURIComponent(spec.id)}>${spec.id}</a><span style="flex:1"></span><${CellState} spec=${spec} /></header>
    <div class="dots">${list.slice(0, DOTS).map((i) => html`<${Inst} key=${i.id} i=${i} />`)}${list.length > DOTS && html`<span class="muted small">and ${list.length - DOTS} more</span>`}${!list.length && html`<span class="muted small">nothing runs here</span>`}</div>
    <div class="meters">
      <div class="meter"><span>Memory</span><${Bar} label=${'Memory reserved on ' + spec.id} value=${spec.used.memory_mb} of=${spec.capacity.memory_mb} /><span title=${bytes(memory) + ' in use'}>${bytes(spec.used.memory_mb * 1048576)} / ${mib(spec.capacity.memory_mb)}</span></div>
      <div class="meter"><span>Disk</span><${Bar} label=${'Disk reserved on ' + spec.id} value=${spec.used.disk_mb} of=${spec.capacity.disk_mb} /><span title=${bytes(disk) + ' in use'}>${bytes(spec.used.disk_mb * 1048576)} / ${mib(spec.capacity.disk_mb)}</span></div>
      <div class="meter"><span>CPU</span><${Bar} label=${'CPU in use on ' + spec.id} value=${cpu} of=${Math.max(100, cpu)} /><span>${percent(cpu)}</span></div>
    </div></article>`;
}

export function cellUsage(c) {
  const sum = [0, 0, 0];
  for (const id of c.ids) { const u = store.usage.get(id); if (u) for (let k = 0; k < 3; k++) sum[k] += u[k]; }
  return sum;
}

function Inst({ i }) {
  const state = stateOf(i), text = `${i.app}/${i.index}: ${state}${i.reason ? ', ' + i.reason : ''}`;
  return html`<a class="inst ${state === 'unready' ? 'claimed' : state}" style=${{ '--c': colour(i.app) }} href=${'/apps/' + i.app} title=${text} aria-label=${text}></a>`;
}
