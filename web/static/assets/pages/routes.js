import { html, useEffect, useState } from '../lib.js';
import { get } from '../api.js';
import { store, useStore } from '../store.js';
import { session } from '../session.js';
import { Empty, Head, Rows } from '../ui.js';
import { Spark } from '../chart.js';
import { bytes, count, millis, rate } from '../format.js';

// useRoutes asks again every few seconds, less often when there are many.
function useRoutes() {
  const [all, set] = useState({});
  useEffect(() => {
    let timer, over = false;
    const load = async () => {
      let next = 2000;
      try { const list = await get('/routes'); next = Math.max(next, list.length); if (!over) set({ list }); } catch (e) { if (!over) set((old) => ({ ...old, error: e.message })); }
      if (!over) timer = setTimeout(load, next);
    };
    load();
    return () => { over = true; clearTimeout(timer); };
  }, []);
  return all;
}

const address = (r) => r.external ? `tcp :${r.external}${r.host ? ' ' + r.host : ''}` : r.host + (r.path ?? '');

// link returns where a browser finds a route; undefined for one that it can't ask.
function link(r) {
  if (r.external || r.host.startsWith('*')) return undefined;
  const { protocol, port } = new URL(session.info.router_url);
  return `${protocol}//${r.host}${port ? ':' + port : ''}${r.path ?? ''}`;
}

// state returns how the instances are to which the router leads.
function state(r) {
  const out = r.backends.filter((b) => b.ejected || b.ejected_by?.length).length;
  if (r.problem) return ['bad', 'no port', r.problem];
  if (!r.backends.length) return ['bad', 'no instance', 'no instance is healthy'];
  if (out) return ['warn', `${out} of ${r.backends.length} passed over`, r.backends.filter((b) => b.ejected || b.ejected_by?.length).map((b) => `${b.app}/${b.index} at ${b.address}${b.ejected_by?.length ? ' by ' + b.ejected_by.join(', ') : ''}`).join('; ') + ': no connection can be made'];
  return ['ok', count(r.backends.length, 'instance'), ''];
}

export function Routes() {
  useStore(500);
  const { list, error } = useRoutes(), [text, setText] = useState('');
  const shown = (list ?? []).filter((r) => (address(r) + ' ' + r.apps.join(' ')).includes(text.toLowerCase()));
  return html`<${Head} title="Routes" sub="Addresses that lead to apps, through the brain and through cells that are routers, and what is asked of these now." />
    <input class="search" type="search" style="margin-bottom: 14px" aria-label="Search routes" placeholder="Address or app" value=${text} onInput=${(e) => setText(e.target.value)} />
    ${error && html`<div class="note bad" role="alert">${error}</div>`}
    ${!list ? !error && html`<p class="muted">Loading…</p>` : !shown.length ? html`<${Empty} title=${list.length ? 'No route is like that' : 'No routes yet'}><//>`
      : html`<div class="card" role="table" aria-label="Routes"><div role="rowgroup"><div class="vhead g-routes" role="row"><span role="columnheader">Address</span><span role="columnheader">App</span><span class="mid" role="columnheader">Leads to</span><span class="mid" role="columnheader">Requests of the app</span><span class="wide" role="columnheader">Latency, 95 %</span><span class="wide" role="columnheader">Open now</span></div></div>
      <${Rows} rows=${shown} height=${48} class="g-routes" row=${(r, o) => html`<${Row} key=${address(r)} r=${r} o=${o} />`} /></div>`}`;
}

function Row({ r, o }) {
  const name = r.apps[0], p = store.points.apps[name] ?? [0, 0, 0, 0, 0, 0], trend = store.trend.apps.get(name) ?? [];
  const [kind, word, means] = state(r), url = link(r), tcp = r.connections;
  const open = tcp ? tcp.open : r.backends.reduce((n, b) => n + b.in_flight, 0);
  const total = tcp && `${tcp.total} connections, ${tcp.failed} failed, ${bytes(tcp.received)} in, ${bytes(tcp.sent)} out`;
  return html`<div role="row" ...${o}><span role="cell" title=${(r.options ?? []).join(', ')}>${url ? html`<a href=${url} target="_blank" rel="noopener noreferrer">${address(r)}</a>` : address(r)}</span>
    <span role="cell">${r.apps.map((a, i) => html`${i ? ', ' : ''}<a href=${'/apps/' + a}>${a}</a>`)}</span><span role="cell" class="mid"><span class="tag ${kind}" title=${means}>${word}</span></span>
    <span role="cell" class="mid row"><${Spark} width=${64} values=${trend.map((x) => x[2])} label="Requests lately" /><span class="small">${rate(p[2])}${p[5] ? html` <span class="bad">${rate(p[5])} errors</span>` : ''}</span></span><span role="cell" class="wide">${p[2] ? millis(p[4]) : '–'}</span><span role="cell" class="wide" title=${total}>${open}</span></div>`;
}
