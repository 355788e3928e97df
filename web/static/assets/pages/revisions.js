import { html, useEffect, useState } from '../lib.js';
import { app, get } from '../api.js';
import { mayChange } from '../session.js';
import { moment } from '../format.js';
import { rollback } from '../actions.js';

// flat makes a line of each setting. The environment's values are not shown,
// only that one differs.
function flat(v, path = '', out = {}) {
  for (const k in v) {
    if (['revision', 'created_at', 'rollout', 'stopped', 'held', 'instances'].includes(k) && !path) continue;
    const at = path ? path + '.' + k : k;
    if (v[k] && typeof v[k] === 'object') flat(v[k], at, out); else out[at] = v[k];
  }
  return out;
}

function diff(now, before) {
  const a = flat(before), b = flat(now), lines = [], shown = (k, v) => k.startsWith('env.') ? '••••••' : JSON.stringify(v);
  for (const k of new Set([...Object.keys(a), ...Object.keys(b)])) {
    if (a[k] === b[k]) continue;
    if (k in a) lines.push(['del', `− ${k}: ${shown(k, a[k])}`]);
    if (k in b) lines.push(['add', `+ ${k}: ${shown(k, b[k])}`]);
  }
  return lines;
}

export function Revisions({ spec }) {
  const [list, set] = useState(null), [error, setError] = useState('');
  useEffect(() => { get(app(spec.name) + '/revisions').then(set, (e) => setError(e.message)); }, [spec.name, spec.revision, spec.rollout?.state]);
  if (error) return html`<div class="note bad" role="alert">${error}</div>`;
  if (!list) return html`<p class="muted">Loading…</p>`;
  return html`<div class="card">${list.map((r, i) => {
    const n = r.app.revision, before = list[i + 1], lines = before ? diff(r.app, before.app) : [];
    return html`<article class="rev" key=${n}><div class="row"><h3>Revision ${n}</h3>${n === spec.revision && html`<span class="tag ok">current</span>`}<span class="muted">${r.cause}, ${moment(r.at)}</span><span style="flex: 1"></span>
      ${mayChange() && n !== spec.revision && html`<button onClick=${() => rollback(spec, n)}>Roll back to ${n}</button>`}</div>
      ${lines.length ? html`<div class="diff mono">${lines.map(([c, t]) => html`<div class=${c}>${t}</div>`)}</div>` : html`<span class="muted small">${before ? r.cause === 'restart' ? 'New containers, nothing else.' : 'Nothing else differs.' : html`<code>${r.app.image}</code>`}</span>`}</article>`;
  })}</div>`;
}
