import { html, useState } from '../lib.js';
import { store, useStore, sortedApps } from '../store.js';
import { AppState, Empty, Head, Rows, summary, usePhone } from '../ui.js';
import { Spark } from '../chart.js';
import { mayChange } from '../session.js';
import { bytes, colour, percent } from '../format.js';

const filters = [['', 'All'], ['running', 'Running'], ['bad', 'With trouble'], ['stopped', 'Stopped']];

function matches(a, text, filter) {
  if (text && !(a.spec.name + ' ' + a.spec.image + ' ' + a.spec.urls.join(' ')).toLowerCase().includes(text.toLowerCase())) return false;
  if (filter === 'running') return a.n.running > 0;
  if (filter === 'stopped') return a.spec.stopped || a.spec.held;
  if (filter === 'bad') return ['bad', 'warn'].includes(summary(a)[0]);
  return true;
}

export function usageOf(a) {
  let memory = 0, cpu = 0;
  for (const id of a.ids) { const u = store.usage.get(id); if (u) { memory += u[0]; cpu += u[1]; } }
  return [memory, cpu];
}

export function Apps() {
  const s = useStore(200), [text, setText] = useState(''), [filter, setFilter] = useState(''), phone = usePhone();
  const all = sortedApps(), shown = all.filter((a) => matches(a, text, filter));
  return html`<${Head} title="Apps">${mayChange() && html`<a class="button primary" href="/create">Create an app</a>`}<//>
    <div class="row" style="margin-bottom: 14px"><input class="search" type="search" aria-label="Search apps" placeholder="Name, image or address" value=${text} onInput=${(e) => setText(e.target.value)} />
      <div class="row" role="group" aria-label="Show">${filters.map(([k, word]) => html`<button class=${filter === k ? 'primary' : ''} aria-pressed=${filter === k} onClick=${() => setFilter(k)}>${word}</button>`)}</div></div>
    ${!s.complete ? html`<p class="muted">Loading…</p>` : !all.length ? html`<${Empty} title="No apps yet"><p>${mayChange() ? html`<a href="/create">Create one</a>, or: ` : 'On the command line: '}<code>ltc create hello lattice/hello</code></p><//>`
      : !shown.length ? html`<${Empty} title="No app is like that"><button onClick=${() => { setText(''); setFilter(''); }}>Show all</button><//>`
      : html`<div class="card" role="table" aria-label="Apps" aria-rowcount=${shown.length}><div role="rowgroup"><div class="vhead g-apps" role="row"><span role="columnheader">App</span><span role="columnheader">State</span><span class="mid" role="columnheader">Address</span><span class="wide" role="columnheader">CPU</span><span class="wide" role="columnheader">Memory</span><span class="mid right" role="columnheader">Instances</span></div></div>
        <${Rows} rows=${shown} height=${phone ? 56 : 50} class="g-apps" row=${(a, o) => html`<${Row} key=${a.spec.name} a=${a} o=${o} />`} /></div>`}`;
}

function Row({ a, o }) {
  const { spec } = a, [memory, cpu] = usageOf(a), trend = store.trend.apps.get(spec.name) ?? [], url = spec.urls[0];
  return html`<div role="row" ...${o}><span role="cell"><a class="appname" href=${'/apps/' + spec.name}><span class="chip" style=${{ '--c': colour(spec.name) }}></span>${spec.name}</a></span>
    <span role="cell"><${AppState} a=${a} /></span>
    <span role="cell" class="mid">${url ? html`<a href=${url} target="_blank" rel="noopener noreferrer">${url.replace(/^https?:\/\//, '')}</a>${spec.urls.length > 1 && html` <span class="muted">+${spec.urls.length - 1}</span>`}` : html`<span class="muted">none</span>`}</span>
    <span role="cell" class="wide row"><${Spark} width=${56} values=${trend.map((p) => p[0])} label=${'CPU ' + percent(cpu)} /><span class="small">${percent(cpu)}</span></span>
    <span role="cell" class="wide row"><${Spark} width=${48} values=${trend.map((p) => p[1])} label=${'Memory ' + bytes(memory)} /><span class="small">${bytes(memory)}</span></span>
    <span role="cell" class="mid right">${a.n.running + a.n.unready} of ${spec.stopped || spec.held ? 0 : spec.instances}</span></div>`;
}
