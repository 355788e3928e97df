// The parts that pages are made of.
import { html, useState, useEffect, useLayoutEffect, useRef } from './lib.js';

// go shows another page without loading anything.
export function go(path, replace) {
  history[replace ? 'replaceState' : 'pushState'](null, '', path);
  dispatchEvent(new PopStateEvent('popstate'));
}

export function Logo() {
  return html`<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M6 3v18M12 3v18M18 3v18M3 6h18M3 12h18M3 18h18" stroke="currentColor" stroke-width="1.2" opacity=".28"/><g fill="var(--accent)"><circle cx="6" cy="6" r="2.5"/><circle cx="12" cy="12" r="2.5"/><circle cx="18" cy="6" r="2.5"/><circle cx="6" cy="18" r="2.5"/></g></svg>`;
}

export function Head({ title, crumb, sub, children }) {
  useEffect(() => { document.title = title + ' · Lattice'; }, [title]);
  return html`<header class="head"><div class="grow">${crumb && html`<div class="crumb">${crumb}</div>`}<h1>${title}</h1>${sub && html`<p>${sub}</p>`}</div>${children && html`<div class="row acts">${children}</div>`}</header>`;
}

export function Bar({ value, of, label }) {
  const share = of ? Math.min(100, 100 * value / of) : 0;
  return html`<div class="bar" role="meter" aria-label=${label} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(share)}><i class=${share > 95 ? 'bad' : share > 80 ? 'warn' : ''} style=${{ width: share + '%' }}></i></div>`;
}

export function Empty({ title, children }) { return html`<div class="card empty"><h2>${title}</h2>${children}</div>`; }

// summary says in a word how an app is.
export function summary(a) {
  const want = a.spec.stopped || a.spec.held ? 0 : a.spec.instances, n = a.n;
  if (a.spec.held) return ['warn', 'held back'];
  if (a.spec.stopped) return [n.running + n.leaving + n.claimed ? 'warn' : '', n.running + n.leaving ? 'stopping' : 'stopped'];
  if (a.spec.rollout?.state === 'PAUSED') return ['warn', 'canary waits'];
  if (n.crashed) return ['bad', `${n.crashed} crashed`];
  if (a.spec.rollout?.state === 'RUNNING') return ['warn', 'updating'];
  if (n.unclaimed) return ['warn', `${n.unclaimed} waiting`];
  if (n.running < want) return ['warn', n.unready ? 'not ready' : 'starting'];
  return want ? ['ok', 'running'] : ['', 'no instances'];
}

export function AppState({ a }) {
  const [kind, word] = summary(a);
  return html`<span class="tag ${kind}"><span class="dot" aria-hidden="true"></span>${word}</span>`;
}

// Messages, read out by screen readers.
let say = () => {};
export function toast(text) { say(text); }
export function Toasts() {
  const [list, set] = useState([]);
  say = (text) => {
    const t = { text };
    set((l) => [...l.slice(-3), t]);
    setTimeout(() => set((l) => l.filter((x) => x !== t)), 6000);
  };
  return html`<div class="toasts" role="status" aria-live="polite">${list.map((t) => html`<div class="toast">${t.text}</div>`)}</div>`;
}

// ask opens a dialog. o: title, body (html), command (the same with ltc), action
// (the button's word), danger, run: async (form) → message.
let open = () => {};
export function ask(o) { open(o); }
export function Dialogs() {
  const [o, set] = useState(null);
  open = (x) => set({ ...x, key: Math.random() });
  return o && html`<${Ask} key=${o.key} o=${o} done=${() => set(null)} />`;
}

function Ask({ o, done }) {
  const ref = useRef(), [busy, setBusy] = useState(false), [error, setError] = useState(''), [form, setForm] = useState(o.form ?? {});
  useLayoutEffect(() => {
    const before = document.activeElement;
    ref.current.showModal();
    return () => before?.focus?.();
  }, []);
  const submit = async (e) => {
    e.preventDefault();
    setBusy(true); setError('');
    try { const text = await o.run(form); done(); if (text) toast(text); } catch (err) { setError(err.message); setBusy(false); }
  };
  const change = (k, v) => setForm((f) => ({ ...f, [k]: v }));
  const command = typeof o.command === 'function' ? o.command(form) : o.command;
  return html`<dialog ref=${ref} onClose=${done} aria-labelledby="ask-title"><form onSubmit=${submit}>
    <h2 id="ask-title">${o.title}</h2>
    <div class="stack">${typeof o.body === 'function' ? o.body(form, change) : o.body}
    ${command && html`<div><div class="hint">The same on the command line</div><div class="cmd">${command}</div></div>`}
    ${error && html`<div class="note bad" role="alert">${error}</div>`}</div>
    <div class="acts"><button type="button" onClick=${() => ref.current.close()}>Cancel</button>
    <button class="primary ${o.danger ? 'danger' : ''}" disabled=${busy}>${busy ? 'One moment…' : o.action}</button></div></form></dialog>`;
}

// Rows shows only those of many rows that can be seen. It scrolls with the page.
export function Rows({ rows, height, row, class: cls }) {
  const ref = useRef(), [range, set] = useState([0, 40]);
  useLayoutEffect(() => {
    const look = () => {
      if (!ref.current) return;
      const top = -ref.current.getBoundingClientRect().top;
      const from = Math.max(0, Math.floor(top / height) - 8), to = Math.ceil((top + innerHeight) / height) + 8;
      set((r) => r[0] === from && r[1] === to ? r : [from, to]);
    };
    look();
    addEventListener('scroll', look, { passive: true });
    addEventListener('resize', look);
    return () => { removeEventListener('scroll', look); removeEventListener('resize', look); };
  }, [height, rows.length]);
  return html`<div class="vbody" ref=${ref} role="rowgroup" style=${{ height: rows.length * height + 'px' }}>
    ${rows.slice(range[0], range[1]).map((r, i) => row(r, { class: 'vrow ' + (cls ?? ''), style: { top: (range[0] + i) * height + 'px', height: height + 'px' } }))}</div>`;
}

// useTick shows a component anew each ms, for times that grow.
export function useTick(ms) {
  const [, set] = useState(0);
  useEffect(() => { const t = setInterval(() => set((n) => n + 1), ms); return () => clearInterval(t); }, [ms]);
}

export function usePhone() {
  const q = matchMedia('(max-width: 700px)'), [is, set] = useState(q.matches);
  useEffect(() => { const f = () => set(q.matches); q.addEventListener('change', f); return () => q.removeEventListener('change', f); }, []);
  return is;
}

// AsList shows a list that is watched, or why there is nothing to show.
export function AsList({ list, state, empty, children }) {
  if (!list) return state === 'connecting' ? html`<p class="muted">Loading…</p>` : html`<div class="note bad">${state === 'lost' ? 'The connection is lost. Trying again.' : state}</div>`;
  return list.length ? children : empty;
}
