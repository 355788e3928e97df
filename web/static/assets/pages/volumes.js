import { html, useEffect, useState } from '../lib.js';
import { call, get } from '../api.js';
import { Empty, Head, ask } from '../ui.js';
import { mayChange } from '../session.js';
import { bytes } from '../format.js';

const name = (v) => `${v.app}/${v.name}/${v.index}`;
const states = {
  'IN USE': ['ok', 'in use', 'an instance has it'], KEPT: ['', 'kept', 'for when its app runs again, or has as many instances again'], ORPHAN: ['warn', 'orphan', 'no app has it; one of the same name gets it again'],
  SPARE: ['warn', 'spare', 'another cell has the one that counts'], LOST: ['bad', 'lost', 'its folder is gone from the cell'], REMOVING: ['', 'removing', 'the cell has yet to delete it'],
};

// useVolumes asks again every few seconds, and at once when load is called.
function useVolumes() {
  const [all, set] = useState({});
  const load = () => get('/volumes').then((list) => set({ list }), (e) => set((old) => ({ ...old, error: e.message })));
  useEffect(() => { load(); const t = setInterval(load, 5000); return () => clearInterval(t); }, []);
  return [all, load];
}

const remove = (v, done) => ask({ title: `Delete ${name(v)}`, action: 'Delete for ever', danger: true, form: { name: '' }, command: `ltc volumes remove ${v.id}`,
  body: (f, set) => html`<p>The volume is deleted from ${v.cell} with all that is in it${v.bytes ? ` (${bytes(v.bytes)})` : ''}.${v.away && ' The cell is gone: it deletes it when it is back.'} This can't be undone.</p>
    <label class="field">Type <b>${name(v)}</b> to go on<input required autocapitalize="none" autocomplete="off" value=${f.name} onInput=${(e) => set('name', e.target.value)} /></label>`,
  run: async (f) => {
    if (f.name !== name(v)) throw new Error(`Type ${name(v)} to go on.`);
    await call('DELETE', '/volumes/' + encodeURIComponent(v.id));
    done();
    return `${name(v)} is deleted.`;
  } });

function Table({ list, load }) {
  const may = mayChange();
  return html`<div class="card scroll" tabindex="0" role="region" aria-label="Volumes"><table><thead><tr><th>Volume</th><th>State</th><th>Cell</th><th>Size</th>${may && html`<th><span class="sr">Actions</span></th>`}</tr></thead><tbody>
    ${list.slice(0, 500).map((v) => html`<${Row} key=${v.id + v.cell} v=${v} may=${may} load=${load} />`)}</tbody></table></div>`;
}

function Row({ v, may, load }) {
  const [kind, word, means] = states[v.state] ?? ['', v.state, ''];
  return html`<tr><td><b>${name(v)}</b></td><td><span class="tag ${kind}" title=${means}>${word}</span></td><td><a href=${'/cells/' + encodeURIComponent(v.cell)}>${v.cell}</a>${v.away && html` <span class="bad">gone</span>`}</td><td class="nowrap">${v.bytes ? bytes(v.bytes) : '–'}</td>
    ${may && html`<td class="right">${v.state !== 'IN USE' && v.state !== 'REMOVING' && html`<button class="quiet danger" aria-label=${'Delete ' + name(v)} onClick=${() => remove(v, load)}>Delete</button>`}</td>`}</tr>`;
}

// VolumesOf shows those of one app or cell, if there are any.
export function VolumesOf({ app, cell }) {
  const [{ list }, load] = useVolumes(), shown = list?.filter((v) => v.app === app || v.cell === cell) ?? [];
  return shown.length ? html`<h2 class="section">Volumes</h2><${Table} list=${shown} load=${load} />` : null;
}

export function Volumes() {
  const [{ list, error }, load] = useVolumes();
  return html`<${Head} title="Volumes" sub="Folders that outlive containers. Each instance has its own, on the cell that it stays on." />
    ${error && html`<div class="note bad" role="alert" style="margin-bottom: 14px">${error}</div>`}
    ${!list ? !error && html`<p class="muted">Loading…</p>` : !list.length ? html`<${Empty} title="No volumes yet"><code>ltc create redis redis --volume data:/data</code><//>` : html`<${Table} list=${list} load=${load} />${list.length > 500 && html`<p class="muted">The first 500 of ${list.length}.</p>`}`}`;
}
