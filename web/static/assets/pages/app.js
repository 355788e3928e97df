import { html, useEffect, useState } from '../lib.js';
import { app, call, get } from '../api.js';
import { store, useStore, instancesOf, stateOf } from '../store.js';
import { AppState, Empty, Head, toast, useTick } from '../ui.js';
import { Chart } from '../chart.js';
import { Log } from '../log.js';
import { EventList } from './events.js';
import { Revisions } from './revisions.js';
import { Settings } from './settings.js';
import { VolumesOf } from './volumes.js';
import * as act from '../actions.js';
import { mayChange } from '../session.js';
import { bytes, count, millis, percent, rate, since } from '../format.js';

const tabs = [['', 'Overview'], ['logs', 'Logs'], ['settings', 'Settings'], ['revisions', 'Revisions'], ['events', 'Events']];

export function App({ name, tab = '' }) {
  const s = useStore(100), a = s.apps.get(name);
  useTick(5000);
  if (!a?.spec) return s.complete ? html`<${Head} title=${name} crumb=${html`<a href="/apps">Apps</a>`} /><${Empty} title="There is no app of this name"><a href="/apps">All apps</a><//>` : html`<p class="muted">Loading…</p>`;
  const { spec } = a;
  return html`<${Head} title=${name} crumb=${html`<a href="/apps">Apps</a>`} sub=${html`<span class="row"><${AppState} a=${a} /><span>${a.n.running + a.n.unready} of ${count(spec.stopped || spec.held ? 0 : spec.instances, 'instance')}</span>${spec.urls.slice(0, 3).map((u) => html`<a href=${u} target="_blank" rel="noopener noreferrer">${u.replace(/^https?:\/\//, '')}</a>`)}</span>`}>
    ${mayChange() && html`<${Actions} spec=${spec} />`}<//>
    <${Rollout} spec=${spec} />
    <nav class="tabs" aria-label="About the app">${tabs.map(([t, word]) => html`<a href=${`/apps/${name}${t && '/' + t}`} aria-current=${t === tab ? 'page' : undefined}>${word}</a>`)}</nav>
    ${tab === '' && html`<${Charts} name=${name} /><${Instances} a=${a} />${spec.volumes && html`<${VolumesOf} app=${name} />`}`}
    ${tab === 'logs' && html`<${Log} path=${app(name) + '/logs'} name=${name} />`}
    ${tab === 'settings' && html`<${Settings} spec=${spec} />`}
    ${tab === 'revisions' && html`<${Revisions} spec=${spec} />`}
    ${tab === 'events' && html`<${EventList} query=${'app=' + encodeURIComponent(name)} />`}`;
}

function Actions({ spec }) {
  const start = () => act.start(spec).then(() => toast(`${spec.name} starts.`), (e) => toast(e.message));
  return html`<button onClick=${() => act.scale(spec)}>Scale</button><button onClick=${() => act.restart(spec)} disabled=${spec.stopped}>Restart</button><button onClick=${() => act.update(spec)}>Update image</button>
    ${spec.stopped ? html`<button class="primary" onClick=${start}>Start</button>` : html`<button onClick=${() => act.stop(spec)}>Stop</button>`}<button class="danger" onClick=${() => act.remove(spec)}>Remove</button>`;
}

function Rollout({ spec }) {
  const r = spec.rollout;
  if (!r || r.state === 'DONE') return null;
  const promote = () => call('POST', app(spec.name) + '/promote').then(() => toast('The canary goes on.'), (e) => toast(e.message));
  const text = r.state === 'RUNNING' ? `Changes from revision ${r.from} to ${r.to}.` : r.state === 'PAUSED' ? `One instance has revision ${r.to}. The others wait for you.` : `Revision ${r.to} did not come up, revision ${r.from} is back. ${r.reason ?? ''}`;
  return html`<div class="note row ${r.state === 'FAILED' ? 'bad' : r.state === 'RUNNING' ? 'info' : ''}" style="margin-bottom: 16px"><span style="flex: 1">${text}</span>
    ${r.state === 'PAUSED' && mayChange() && html`<button class="primary" onClick=${promote}>Promote</button><button onClick=${() => act.rollback(spec, r.from)}>Roll back</button>`}</div>`;
}

// useHistory is an hour of points, to which the live state adds.
export function useHistory(query, kind, name) {
  const [h, set] = useState({ times: [], points: [] });
  useEffect(() => {
    let on = true;
    get('/history?' + query).then((r) => {
      if (!on) return;
      const end = Date.parse(r.at) / 1000, n = r.points.length;
      set({ times: r.points.map((_, i) => end - (n - 1 - i) * r.step), points: r.points });
    }, () => {});
    return () => { on = false; };
  }, [query]);
  const at = Date.parse(store.points.at) / 1000, p = store.points[kind]?.[name];
  if (p && at > (h.times.at(-1) ?? 0)) { h.times = [...h.times.slice(-359), at]; h.points = [...h.points.slice(-359), p]; }
  return h;
}

function Charts({ name }) {
  const h = useHistory('app=' + encodeURIComponent(name), 'apps', name), col = (k) => h.points.map((p) => p[k]), last = h.points.at(-1) ?? [0, 0, 0, 0, 0, 0];
  return html`<h2 class="sr">The last hour</h2><div class="charts">
    <${Chart} title="CPU, of a core" now=${percent(last[0])} times=${h.times} format=${percent} max=${5} series=${[{ name: 'CPU', values: col(0), fill: true }]} />
    <${Chart} title="Memory" now=${bytes(last[1])} times=${h.times} format=${bytes} series=${[{ name: 'Memory', values: col(1), fill: true }]} />
    <${Chart} title="Requests and errors" now=${rate(last[2]) + (last[5] ? `, ${rate(last[5])} failed` : '')} times=${h.times} format=${rate} max=${1} series=${[{ name: 'Requests', values: col(2), fill: true }, { name: 'Errors (5xx)', values: col(5), colour: '--bad-dot' }]} />
    <${Chart} title="Latency, median and 95 %" now=${millis(last[4])} times=${h.times} format=${millis} max=${5} series=${[{ name: '95 %', values: col(4), colour: '--warn-dot' }, { name: 'Median', values: col(3) }]} /></div>`;
}

const words = { running: ['ok', 'running'], unready: ['warn', 'not ready'], claimed: ['warn', 'starting'], crashed: ['bad', 'crashed'], unclaimed: ['', 'waits for a cell'], leaving: ['', 'stopping'] };

function Instances({ a }) {
  const list = instancesOf(a), may = mayChange();
  return html`<h2 class="section">Instances</h2>${!list.length ? html`<${Empty} title="None"><p>${a.spec.held ? `Its image is of another registry, and the feature ${a.spec.held} is disabled.` : a.spec.stopped ? 'The app is stopped.' : 'The app has no instances: scale it up.'}</p><//>`
    : html`<div class="card scroll" tabindex="0" role="region" aria-label="Instances"><table><thead><tr><th>Index</th><th>State</th><th>Cell</th><th class="hide-s">Memory</th><th class="hide-s">CPU</th><th class="hide-s">Crashes</th><th class="hide-s">Revision</th>${may && html`<th><span class="sr">Actions</span></th>`}</tr></thead>
      <tbody>${list.slice(0, 300).map((i) => html`<${Instance} key=${i.id} i=${i} may=${may} />`)}</tbody></table></div>`}`;
}

function Instance({ i, may }) {
  const [kind, word] = words[stateOf(i)] ?? ['', i.state], u = store.usage.get(i.id) ?? [0, 0, 0];
  const left = i.retry_at ? Math.max(0, Math.round((i.retry_at - Date.now()) / 1000)) : 0;
  return html`<tr data-index=${i.index}><td>${i.index}</td><td><span class="tag ${kind}"><span class="dot" aria-hidden="true"></span>${word}</span> <span class="muted small nowrap">${i.since ? since(i.since) : ''}</span>
      ${i.pull?.done ? html`<div class="reason">pulls the image: ${bytes(i.pull.done)}${i.pull.total ? ' of ' + bytes(i.pull.total) : ''}</div>` : null}
      ${i.reason && html`<div class="reason">${i.reason}${left > 0 && `, again in ${left} s`}</div>`}</td>
    <td>${i.cell ? html`<a href=${'/cells/' + encodeURIComponent(i.cell)}>${i.cell}</a>` : '–'}</td><td class="hide-s nowrap">${bytes(u[0])}${i.memory_mb ? html` <span class="muted">/ ${i.memory_mb} MiB</span>` : ''}</td><td class="hide-s">${percent(u[1])}</td><td class="hide-s">${i.crashes ? html`<span class="bad">${i.crashes}</span>` : 0}</td><td class="hide-s">${i.revision}</td>
    ${may && html`<td class="right nowrap">${i.state === 'RUNNING' && html`<a class="button quiet" aria-label=${`Terminal in instance ${i.index}`} href=${`/apps/${i.app}/terminal/${i.index}`}>Terminal</a>`}<button class="quiet" aria-label=${`Replace instance ${i.index}`} onClick=${() => act.replace(i)}>Replace</button></td>`}</tr>`;
}
