import { html, useState } from '../lib.js';
import { store, useStore, sortedApps } from '../store.js';
import { AppState, Empty, Head, Rows } from '../ui.js';
import { Spark } from '../chart.js';
import { millis, rate } from '../format.js';

export function Routes() {
  const s = useStore(500), [text, setText] = useState('');
  const all = sortedApps().flatMap((a) => a.spec.urls.map((url) => ({ url, a }))), shown = all.filter((r) => (r.url + r.a.spec.name).includes(text.toLowerCase()));
  return html`<${Head} title="Routes" sub="Addresses that lead to apps, and what is asked of these now." />
    <input class="search" type="search" style="margin-bottom: 14px" aria-label="Search routes" placeholder="Address or app" value=${text} onInput=${(e) => setText(e.target.value)} />
    ${!s.complete ? html`<p class="muted">Loading…</p>` : !shown.length ? html`<${Empty} title=${all.length ? 'No route is like that' : 'No routes yet'}><//>`
      : html`<div class="card" role="table" aria-label="Routes"><div role="rowgroup"><div class="vhead g-routes" role="row"><span role="columnheader">Address</span><span role="columnheader">App</span><span class="mid" role="columnheader">State</span><span class="mid" role="columnheader">Requests</span><span class="wide" role="columnheader">Latency, 95 %</span><span class="wide" role="columnheader">Errors</span></div></div>
      <${Rows} rows=${shown} height=${48} class="g-routes" row=${(r, o) => html`<${Row} key=${r.url} r=${r} o=${o} />`} /></div>`}`;
}

function Row({ r, o }) {
  const name = r.a.spec.name, p = store.points.apps[name] ?? [0, 0, 0, 0, 0, 0], trend = store.trend.apps.get(name) ?? [];
  return html`<div role="row" ...${o}><span role="cell"><a href=${r.url} target="_blank" rel="noopener noreferrer">${r.url.replace(/^https?:\/\//, '')}</a></span><span role="cell"><a href=${'/apps/' + name}>${name}</a></span><span role="cell" class="mid"><${AppState} a=${r.a} /></span>
    <span role="cell" class="mid row"><${Spark} width=${64} values=${trend.map((x) => x[2])} label="Requests lately" /><span class="small">${rate(p[2])}</span></span><span role="cell" class="wide">${p[2] ? millis(p[4]) : '–'}</span><span role="cell" class="wide ${p[5] ? 'bad' : ''}">${p[5] ? rate(p[5]) : '0'}</span></div>`;
}
