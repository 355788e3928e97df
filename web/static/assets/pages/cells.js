import { html } from '../lib.js';
import { store, useStore, sortedCells, stateOf } from '../store.js';
import { Bar, Empty, Head, Rows, toast } from '../ui.js';
import { CellState, cellUsage } from './cluster.js';
import { EventList } from './events.js';
import { VolumesOf } from './volumes.js';
import { Chart } from '../chart.js';
import { useHistory } from './app.js';
import { drain, undrain } from '../actions.js';
import { mayChange } from '../session.js';
import { bytes, colour, mib, percent } from '../format.js';

export function Cells() {
  const s = useStore(300), cells = sortedCells();
  return html`<${Head} title="Cells" sub="Machines, and what they have left." />
    ${!s.complete ? html`<p class="muted">Loading…</p>` : !cells.length ? html`<${Empty} title="No cells yet"><code>lattice cell --join BRAIN --token-file FILE</code><//>`
      : html`<div class="card" role="table" aria-label="Cells"><div role="rowgroup"><div class="vhead g-cells" role="row"><span role="columnheader">Cell</span><span role="columnheader">State</span><span class="mid" role="columnheader">Zone</span><span class="mid" role="columnheader">Memory reserved</span><span class="wide" role="columnheader">CPU in use</span><span class="mid right" role="columnheader">Instances</span></div></div>
      <${Rows} rows=${cells} height=${52} class="g-cells" row=${(c, o) => html`<${Row} key=${c.spec.id} c=${c} o=${o} />`} /></div>`}`;
}

function Row({ c, o }) {
  const { spec } = c;
  return html`<div role="row" ...${o}><span role="cell"><a class="appname" href=${'/cells/' + encodeURIComponent(spec.id)}>${spec.id}</a></span><span role="cell"><${CellState} spec=${spec} /></span><span role="cell" class="mid muted">${spec.zone}</span>
    <span role="cell" class="mid"><${Bar} label=${'Memory reserved on ' + spec.id} value=${spec.used.memory_mb} of=${spec.capacity.memory_mb} /><span class="small muted">${bytes(spec.used.memory_mb * 1048576)} of ${mib(spec.capacity.memory_mb)}</span></span>
    <span role="cell" class="wide">${percent(cellUsage(c)[1])}</span><span role="cell" class="mid right">${spec.running}${spec.claimed ? ` + ${spec.claimed}` : ''}</span></div>`;
}

export function Cell({ id }) {
  const s = useStore(200), c = s.cells.get(id), h = useHistory('cell=' + encodeURIComponent(id), 'cells', id);
  if (!c?.spec) return s.complete ? html`<${Head} title=${id} crumb=${html`<a href="/cells">Cells</a>`} /><${Empty} title="There is no cell of this name"><a href="/cells">All cells</a><//>` : html`<p class="muted">Loading…</p>`;
  const { spec } = c, last = h.points.at(-1) ?? [0, 0], list = [...c.ids].map((x) => s.instances.get(x)).sort((a, b) => a.app < b.app ? -1 : a.app > b.app ? 1 : a.index - b.index);
  const labels = Object.entries(spec.labels ?? {});
  return html`<${Head} title=${id} crumb=${html`<a href="/cells">Cells</a>`} sub=${html`<span class="row"><${CellState} spec=${spec} /><span>zone ${spec.zone}, ${spec.address}, lattice ${spec.version}</span>${spec.router && html`<span class="tag" title="It leads requests to apps, too">router</span>`}${spec.allows_privileged && html`<span class="tag warn">allows privileged apps</span>`}${labels.map(([k, v]) => html`<span class="tag">${k}=${v}</span>`)}</span>`}>
    ${mayChange() && (spec.draining ? html`<button onClick=${() => undrain(id).then(() => toast(id + ' takes instances again.'), (e) => toast(e.message))}>Undrain</button>` : html`<button onClick=${() => drain(id, c.ids.size)}>Drain</button>`)}<//>
    <div class="charts"><${Chart} title="CPU of its instances, of a core" now=${percent(last[0])} times=${h.times} format=${percent} max=${5} series=${[{ name: 'CPU', values: h.points.map((p) => p[0]), fill: true }]} />
      <${Chart} title=${`Memory of its instances; ${bytes(spec.used.memory_mb * 1048576)} of ${mib(spec.capacity.memory_mb)} is reserved`} now=${bytes(last[1])} times=${h.times} format=${bytes} series=${[{ name: 'Memory', values: h.points.map((p) => p[1]), fill: true }]} /></div>
    <h2 class="section">Instances</h2>${!list.length ? html`<p class="muted">Nothing runs here.</p>` : html`<div class="card scroll" tabindex="0" role="region" aria-label="Instances"><table><thead><tr><th>App</th><th>Index</th><th>State</th><th>Memory</th><th>CPU</th></tr></thead><tbody>
      ${list.slice(0, 300).map((i) => { const u = store.usage.get(i.id) ?? [0, 0]; return html`<tr key=${i.id}><td><a class="appname" href=${'/apps/' + i.app}><span class="chip" style=${{ '--c': colour(i.app) }}></span>${i.app}</a></td><td>${i.index}</td><td>${stateOf(i)}</td><td>${bytes(u[0])}</td><td>${percent(u[1])}</td></tr>`; })}</tbody></table></div>`}
    <${VolumesOf} cell=${id} /><h2 class="section">Events</h2><${EventList} query=${'cell=' + encodeURIComponent(id)} />`;
}
