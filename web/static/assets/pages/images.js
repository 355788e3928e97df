import { html, useEffect, useState } from '../lib.js';
import { call, get } from '../api.js';
import { Empty, Head, ask } from '../ui.js';
import { mayChange } from '../session.js';
import { bytes, count, isSet, since } from '../format.js';

// pruning is what the dialog's form asks for.
const pruning = (f, dry) => call('POST', '/images/prune', { unused: `${f.days * 24}h`, own: f.own, dry_run: dry });
const freed = (verb, p) => `${verb} ${count(p.images.length, 'image')}, up to ${bytes(p.bytes)}.`;

// Preview says what would go, before anything does.
function Preview({ f }) {
  const [text, set] = useState('');
  useEffect(() => {
    let old = false;
    pruning(f, true).then((p) => old || set(freed('This would delete', p)), (e) => old || set(e.message));
    return () => { old = true; };
  }, [f.days, f.own]);
  return html`<p role="status">${text || 'Looking what would go…'}</p>`;
}

const prune = (done) => ask({ title: 'Prune images', action: 'Delete', danger: true, form: { days: 30, own: false },
  command: (f) => `ltc images prune --unused ${f.days * 24}h${f.own ? ' --pushed' : ''}`,
  body: (f, set) => html`<p>Deletes images that nobody uses, on the brain and on cells. What an app runs or can go back to stays.</p>
    <label class="field">Days that nobody asked for it<input type="number" min="0" max="3650" required value=${f.days} onInput=${(e) => set('days', e.target.valueAsNumber || 0)} /></label>
    <label class="field inline"><input type="checkbox" checked=${f.own} onChange=${(e) => set('own', e.target.checked)} />Also what was pushed here and has a tag</label>
    <${Preview} f=${f} />`,
  run: async (f) => { const p = await pruning(f, false); done(); return freed('Deleted', p); } });

// useImages asks again every few seconds, and at once when load is called.
function useImages() {
  const [all, set] = useState({});
  const load = () => Promise.all([get('/images'), get('/registries'), get('/images/allowed'), get('/features')])
    .then(([images, registries, allowed, features]) => set({ images, registries, patterns: allowed.patterns, features }), (e) => set((old) => ({ ...old, error: e.message })));
  useEffect(() => { load(); const t = setInterval(load, 5000); return () => clearInterval(t); }, []);
  return [all, load];
}

export function Images() {
  const [{ images, registries, patterns, features, error }, load] = useImages();
  return html`<${Head} title="Images" sub="What the brain's registry has: what was pushed to it, and what it keeps of other registries for all cells.">${mayChange() && images?.length > 0 && html`<button onClick=${() => prune(load)}>Prune</button>`}<//>
    ${error && html`<div class="note bad" role="alert" style="margin-bottom: 14px">${error}</div>`}
    ${!images ? !error && html`<p class="muted">Loading…</p>` : html`<${Stored} images=${images} /><${Registries} list=${registries} />
    <h2 class="section">What may run</h2>${patterns.length ? html`<p>Only images like ${patterns.map((p, i) => html`${i > 0 && ', '}<code>${p}</code>`)}.</p>` : html`<p class="muted">Every image may run. To name those that may: <code>ltc registry allow PATTERN</code></p>`}<${Features} list=${features} done=${load} />`}`;
}

// toggle asks before it takes a feature away, or gives it back.
const toggle = (f, done) => ask({ title: `${f.enabled ? 'Disable' : 'Enable'} ${f.name}`, action: f.enabled ? 'Disable' : 'Enable', danger: f.enabled, form: {},
  command: () => `ltc feature ${f.enabled ? 'disable' : 'enable'} ${f.name}`,
  body: () => html`<p>${f.enabled ? 'Apps whose image is of another registry stop, and no new one is taken. Bundled, pushed and built ones go on.' : 'Apps that were stopped for their image run again.'}</p>`,
  run: async () => { await call('PUT', '/features/' + encodeURIComponent(f.name), { enabled: !f.enabled }); done(); return `${f.name} is ${f.enabled ? 'disabled' : 'enabled'}.`; } });

function Features({ list, done }) {
  return html`<h2 class="section">Features</h2><div class="card scroll" tabindex="0" role="region" aria-label="Features"><table><thead><tr><th>Feature</th><th>State</th><th class="hide-s">Changed</th><th></th></tr></thead><tbody>
    ${list.map((f) => html`<tr key=${f.name}><td><b>${f.name}</b><div class="reason">With it ${f.about}.</div></td><td>${f.enabled ? 'enabled' : html`<b>disabled</b>`}</td>
      <td class="hide-s muted">${isSet(f.changed_at) ? `${since(f.changed_at)} ago by ${f.changed_by || 'lattice'}` : 'never'}</td>
      <td class="right">${mayChange() && html`<button onClick=${() => toggle(f, done)}>${f.enabled ? 'Disable' : 'Enable'}</button>`}</td></tr>`)}</tbody></table></div>`;
}

function Stored({ images }) {
  const [text, setText] = useState('');
  if (!images.length) return html`<${Empty} title="No images yet"><p>An image of another registry comes here when an app runs it. To bring one from a file: <code>ltc push FILE NAME</code></p><//>`;
  const shown = images.filter((i) => [i.name, ...i.tags ?? [], i.digest, ...i.used_by ?? []].join(' ').toLowerCase().includes(text.toLowerCase()));
  return html`<input class="search" type="search" style="margin-bottom: 14px" aria-label="Search images" placeholder="Name, tag, digest or app" value=${text} onInput=${(e) => setText(e.target.value)} />
    ${!shown.length ? html`<p class="muted">None of ${count(images.length, 'image')} is like that.</p>` : html`<div class="card scroll" tabindex="0" role="region" aria-label="Images"><table><thead><tr><th>Image</th><th class="hide-s">From</th><th class="hide-s">On cells</th><th>Size</th><th class="hide-s">Last used</th><th>Used by</th></tr></thead><tbody>
    ${shown.slice(0, 500).map((i) => html`<${Row} key=${i.name + i.digest} i=${i} />`)}</tbody></table></div>${shown.length > 500 && html`<p class="muted">The first 500 of ${shown.length}: search for others.</p>`}`}`;
}

// origin says where an image came from: of one that was built, what of and when.
function origin(i) {
  if (i.built) return html`<span title=${`by ${i.built.by}, task ${i.built.task}`}>built of ${i.built.from}</span><div class="reason">${since(i.built.at)} ago by ${i.built.by}</div>`;
  return i.cached ? 'another registry' : 'pushed here';
}

function Row({ i }) {
  return html`<tr><td><b>${i.name}</b> ${i.tags?.map((t) => html`<span class="tag">${t}</span> `)}<div class="reason"><code title=${i.digest}>${i.digest.slice(7, 19)}</code></div></td>
    <td class="hide-s">${origin(i)}</td><td class="hide-s">${i.cells?.length ? i.cells.slice(0, 3).join(', ') + (i.cells.length > 3 ? ` and ${i.cells.length - 3} more` : '') : html`<span class="muted">none</span>`}</td><td class="nowrap">${bytes(i.bytes)}${i.partial && html`<div class="reason">partly here</div>`}</td>
    <td class="hide-s muted nowrap">${isSet(i.used_at) ? since(i.used_at) + ' ago' : '–'}</td>
    <td>${i.used_by?.length ? i.used_by.map((a, n) => html`${n > 0 && ', '}<a href=${'/apps/' + encodeURIComponent(a)}>${a}</a>`) : html`<span class="muted">no app</span>`}</td></tr>`;
}

const way = (r) => r.plain_http ? 'without TLS' : r.insecure ? 'TLS, not verified' : r.ca ? 'TLS, a CA of its own' : 'TLS';

function Registries({ list }) {
  return html`<h2 class="section">Other registries</h2>${!list.length ? html`<p class="muted">None was added: images that need no login come from any registry that has TLS. To add one: <code>ltc registry add HOST</code></p>`
    : html`<div class="card scroll" tabindex="0" role="region" aria-label="Other registries"><table><thead><tr><th>Registry</th><th>User</th><th>Connection</th><th class="hide-s">Asked in its place</th></tr></thead><tbody>
      ${list.map((r) => html`<tr key=${r.host}><td><b>${r.host}</b></td><td>${r.username || html`<span class="muted">nobody</span>`}</td><td>${way(r)}</td><td class="hide-s">${r.mirror || '–'}</td></tr>`)}</tbody></table></div>`}`;
}
